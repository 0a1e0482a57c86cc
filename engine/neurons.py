"""Neurons of MLPs by number: hidden unit n of layer l, the one that writes row n of the layer's output map.

Shapes: M neurons of any layers.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from causeway.engine import scalars
from causeway.engine.model.config import ModelConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Neurons:
    """Some neurons, in the order in which they matter.

    Attributes:
        layer, neuron: [M] numbers, from 0 on.

    Raises:
        ValueError: none, one twice, or numbers that are none.
    """

    layer: Int[np.ndarray, " M"]
    neuron: Int[np.ndarray, " M"]

    def __post_init__(self):
        for name in ("layer", "neuron"):
            object.__setattr__(self, name, scalars.integers(getattr(self, name), f"neurons: {name}"))
        if not len(self.layer) or self.layer.ndim != 1 or self.layer.shape != self.neuron.shape:
            raise ValueError(f"neurons: got {len(self.layer)} layers, {len(self.neuron)} neurons; needs one of each")
        pairs, counts = np.unique(np.stack([self.layer, self.neuron]), axis=1, return_counts=True)
        if (counts > 1).any():
            layer, neuron = pairs[:, counts.argmax()]
            raise ValueError(f"neurons: {layer}:{neuron} comes {counts.max()} times; name each once")

    @classmethod
    def all_of(cls, config: ModelConfig, layers: tuple[int, ...] | None = None) -> "Neurons":
        """Every neuron of some layers, by default of all."""
        chosen = np.arange(config.num_layers) if layers is None else np.asarray(layers)
        return cls(np.repeat(chosen, config.d_ff), np.tile(np.arange(config.d_ff), len(chosen)))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that some are of, ascending."""
        return tuple(np.unique(self.layer).tolist())

    def of(self, layer: int) -> Int[np.ndarray, " m"]:
        """The neurons of one layer, in their order."""
        return self.neuron[self.layer == layer]

    def first(self, count: int) -> "Neurons":
        """The first so many of each layer."""
        keep = np.concatenate([np.flatnonzero(self.layer == layer)[:count] for layer in self.layers])
        keep.sort()
        return Neurons(self.layer[keep], self.neuron[keep])

    def below(self, layer: int) -> "Neurons | None":
        """Those of layers below one, in their order; None where there are none."""
        keep = self.layer < layer
        return Neurons(self.layer[keep], self.neuron[keep]) if keep.any() else None

    def check_of(self, config: ModelConfig) -> None:
        """Refuse neurons that a model does not have.

        Raises:
            ValueError: naming the first.
        """
        outside = (self.layer >= config.num_layers) | (self.neuron >= config.d_ff)
        if outside.any():
            place = int(outside.argmax())
            raise ValueError(
                f"neurons: got {self.layer[place]}:{self.neuron[place]}; the model has layers "
                f"0..{config.num_layers - 1} of {config.d_ff} neurons"
            )
