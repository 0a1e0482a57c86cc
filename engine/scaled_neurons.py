"""Neurons scaled at every token: an edit of the activations that is an edit of the weights.

A neuron n of layer l adds a_n(t) w_n to what its MLP writes, a_n(t) being its activation at token t and w_n row n of
the layer's output map [N, D]. So scaling the activation at all tokens and scaling the row are one model:

    (k a_n(t)) w_n = a_n(t) (k w_n)

The edited model is a `Transformer` like any other, and whatever runs models runs it: no pass knows of the edit, all
settings of a sweep share one program, and a checkpoint with these rows is the model that was measured.

A row is scaled in float32 or better and rounded once to the dtype that it is stored in: k = 1 is the row itself, and 0
and powers of two are exact in any dtype.

Shapes: M neurons, L layers, N neurons of an MLP, D model. Cost: one pass over the output maps of all layers, L N D.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from causeway.engine import scalars
from causeway.engine.arrays import AnyArray
from causeway.engine.intervention.operations import coefficients
from causeway.engine.intervention.requests import FLOAT32_MAX, AnyEdit, UnitEdit
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model
from causeway.engine.model.quantised import Quantised, Weight, is_quantised, weight_name
from causeway.engine.model.transformer import Transformer
from causeway.engine.neurons import Neurons

# The parameter whose row n of layer l is what the neuron writes.
OUTPUT_MAP = "blocks.mlp.down"
STREAM = "mlp_act"
Rows = TypeVar("Rows", jax.Array, np.ndarray)


@dataclasses.dataclass(frozen=True, eq=False)
class ScaledNeurons:
    """Some neurons, and by how much the activation of each is scaled at every token.

    Attributes:
        neurons: which. factor: [M] 1 leaves one as it is, 0 removes it, -1 turns it round.

    Raises:
        ValueError: another number of factors than of neurons, or one that is no finite number.
    """

    neurons: Neurons
    factor: Float[np.ndarray, " M"]

    def __post_init__(self):
        found = scalars.finite_array(self.factor, "factor").astype(np.float64)
        if found.shape != self.neurons.layer.shape or (np.abs(found) > FLOAT32_MAX).any():
            raise ValueError(
                f"factor: got {scalars.shown(self.factor)}; needs a number in float32's range for each of the "
                f"{len(self.neurons.layer)} neurons"
            )
        object.__setattr__(self, "factor", found)

    @classmethod
    def of_edits(cls, edits: Sequence[AnyEdit], model: Model) -> "ScaledNeurons":
        """The edits of units that say the same: `UnitEdit(9, 17, 2.0, "scale", stream="mlp_act")`.

        Raises:
            ValueError: none, an edit that no scaling of a neuron at all tokens is, a neuron that the model does not
                have, or one twice.
        """
        if not isinstance(edits, list | tuple) or not edits:
            raise ValueError(f"edits: got {scalars.shown(edits)}; needs edits of neurons, {_EXAMPLE}")
        numbers = np.array([_scaled(edit, model) for edit in edits])
        found = cls(Neurons(*numbers[:, :2].T.astype(np.int64)), numbers[:, 2])
        found.neurons.check_of(model.config)
        return found

    def edits(self) -> list[UnitEdit]:
        """The same as edits of activations."""
        rows = zip(self.neurons.layer.tolist(), self.neurons.neuron.tolist(), self.factor.tolist(), strict=True)
        return [UnitEdit(layer, neuron, factor, "scale", stream=STREAM) for layer, neuron, factor in rows]

    def of(self, layer: int) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """The neurons of one layer and their factors."""
        own = self.neurons.layer == layer
        return self.neurons.neuron[own], self.factor[own]

    def gains(self, config: ModelConfig) -> Float[np.ndarray, "L N"]:
        """The factor of every neuron of a model.

        Raises:
            ValueError: a neuron that the model does not have.
        """
        self.neurons.check_of(config)
        out = np.ones((config.num_layers, config.d_ff))
        out[self.neurons.layer, self.neurons.neuron] = self.factor
        return out


_EXAMPLE = f'such as UnitEdit(layer, neuron, 2.0, "scale", stream="{STREAM}")'


def _scaled(edit: AnyEdit, model: Model) -> tuple[int, int, float]:
    """Layer, neuron and factor of an edit."""
    place = model.place(edit.stream, "UnitEdit.stream") if isinstance(edit, UnitEdit) else None
    if not isinstance(edit, UnitEdit) or place is None or place.stream != STREAM or edit.scope != "all":
        raise ValueError(
            f"edits: got {scalars.shown(edit)}; weights hold scalings of neurons at all tokens, {_EXAMPLE}"
        )
    found = coefficients(edit.operation, edit.value)
    if np.any(found.shift) or found[2:] != (-np.inf, np.inf):
        raise ValueError(
            f"edits: got the operation {edit.operation!r} of {edit.layer}:{edit.unit}; needs one that multiplies: "
            "scale, zero, inhibit or own"
        )
    return scalars.layer(edit.layer, model.config.num_layers), edit.unit, float(found.scale)


def scaled_rows(rows: Rows, factor: Float[AnyArray, "..."]) -> Rows:
    """Rows [..., D] times a factor each [...], rounded once to the dtype that they have."""
    wide = jnp.promote_types(rows.dtype, jnp.float32)
    return (rows.astype(wide) * factor.astype(wide)[..., None]).astype(rows.dtype)


def with_scaled(transformer: Transformer, scaled: ScaledNeurons) -> Transformer:
    """The model with neurons scaled; all other parameters are shared with the one given.

    Weights in 8 bits have no scale a neuron, so the maps that are scaled become float32.

    Raises:
        ValueError: a neuron that the model does not have.
    """
    gains = scaled.gains(transformer.config)

    def changed(path: tuple, leaf: Array | Quantised) -> Array | Weight:
        if weight_name(path, leaf) != OUTPUT_MAP:
            return leaf
        own = gains[path[1].idx] if isinstance(path[1], jax.tree_util.SequenceKey) else gains
        return nnx.Param(_scaled_maps(leaf[...], own)) if is_quantised(leaf) else _scaled_maps(leaf, own)

    return jax.tree_util.tree_map_with_path(changed, transformer, is_leaf=is_quantised)


@jax.jit
def _scaled_maps(maps: Float[Array, "*L N D"], gains: Float[Array, "*L N"]) -> Float[Array, "*L N D"]:
    return scaled_rows(maps, gains)
