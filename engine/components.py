"""Principal components of neurons' second-order effects, as data: what `components` finds and `decompose` describes.

Both vectors of a neuron are of the stream `final_norm` (the last norm's output, gain included), so that an inner
product with a column of the unembedding is a logit. A neuron whose effect does not vary over prompts has no component:
its row is 0, and whoever describes components leaves it out and tells so.

Shapes: M neurons of one layer, D model.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine import scalars
from causeway.engine.directions import check_of_model
from causeway.engine.model.handle import Model

# How far from 1 the norm of a unit vector in float32, or rounded to 16 bits on the way, may be.
UNIT = 1e-2


@dataclasses.dataclass(frozen=True, eq=False)
class Components:
    """Neurons of one layer with their mean effects and first components.

    Attributes:
        layer: of the neurons.
        neuron: [M] numbers, each once.
        mean: [M, D] mean second-order effect.
        component: [M, D] unit vectors; 0 of a neuron whose effect does not vary.
        fingerprint: of the model's weights.

    Raises:
        ValueError: shapes that do not belong together, a neuron twice, numbers that are not finite, or components that
            are neither unit vectors nor 0.
    """

    layer: int
    neuron: Int[np.ndarray, " M"]
    mean: Float[np.ndarray, "M D"]
    component: Float[np.ndarray, "M D"]
    fingerprint: str = ""

    def __post_init__(self):
        object.__setattr__(self, "layer", scalars.integer(self.layer, "Components.layer"))
        object.__setattr__(self, "neuron", scalars.integers(self.neuron, "Components.neuron"))
        for name in ("mean", "component"):
            object.__setattr__(self, name, scalars.finite_array(getattr(self, name), f"Components.{name}"))
        shape = self.component.shape
        if self.neuron.ndim != 1 or shape != self.mean.shape or len(shape) != 2 or len(self.neuron) != shape[0]:
            raise ValueError(
                f"Components: got {self.neuron.shape} neurons, means {self.mean.shape} and components {shape}; needs "
                "[M], [M, D] and [M, D]"
            )
        if len(np.unique(self.neuron)) < len(self.neuron):
            raise ValueError(f"Components.neuron: layer {self.layer} has a neuron twice; name each once")
        sizes = np.linalg.norm(self.component.astype(np.float64), axis=1)
        if (bad := (sizes > 0) & (np.abs(sizes - 1) > UNIT)).any():
            raise ValueError(
                f"Components.component: neuron {self.neuron[bad.argmax()]} of layer {self.layer} has norm "
                f"{sizes[bad.argmax()]:.4g}; needs unit vectors, or 0 where an effect does not vary"
            )

    @property
    def varies(self) -> Bool[np.ndarray, " M"]:
        """Neurons that have a component."""
        return np.asarray(self.component.any(axis=1))

    def only(self, neuron: Int[np.ndarray, " m"]) -> "Components":
        """Some neurons, in the order named.

        Raises:
            ValueError: one that is not among them.
        """
        row = {int(n): i for i, n in enumerate(self.neuron)}
        if missing := [int(n) for n in neuron if int(n) not in row]:
            raise ValueError(
                f"neurons: {self.layer}:{missing[0]} has no component here ({len(missing)} of {len(neuron)} have none)"
            )
        rows = np.array([row[int(n)] for n in neuron], np.int64)
        return dataclasses.replace(
            self, neuron=self.neuron[rows], mean=self.mean[rows], component=self.component[rows]
        )  # fmt: skip

    def check_of_model(self, model: Model) -> None:
        """Refuse components of another model.

        Raises:
            ValueError: another fingerprint, width, number of layers or of neurons.
        """
        check_of_model("components", self.fingerprint, self.component.shape[1], self.layer, model)
        if len(self.neuron) and self.neuron.max() >= model.config.d_ff:
            raise ValueError(
                f"components: of neuron {self.neuron.max()}, but a layer of {model.name} has {model.config.d_ff} "
                "neurons"
            )
