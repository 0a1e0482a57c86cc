"""The second-order score of chosen neurons, split by the head that it passes.

    part[n, (l', h)] = s_n^k <M_n^k, u>,    k = (l', h)

summed over heads it is the score of order 1 (`frozen.factored`). Maps are weights alone and made once.

Shapes: M neurons, L layers, H heads, R directions; parts [M, L, H, R] a prompt, 0 at layers up to the neuron's own.
Cost: a forward pass and 2 M K D R operations a prompt.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from causeway.engine.analyses.second_order.scores import AimedJob, ScoresJob
from causeway.engine.frozen.factored import effect_codes, effect_maps
from causeway.engine.frozen.neurons import ACTIVATIONS
from causeway.engine.frozen.record import record_rows
from causeway.engine.model.transformer import Transformer
from causeway.engine.neurons import Neurons
from causeway.engine.precision import full_precision
from causeway.engine.sweep.layout import ArraySpec

Maps = tuple[Float[Array, "m K D"], ...]


def _split(
    shared: tuple[Transformer, tuple[tuple[Array, ...], Maps]],
    own: tuple[Array, Array, Array, Float[Array, "B R D"]],
    *,
    layers: tuple[int, ...],
    aimed: int | None,
) -> tuple[dict[str, Array], Bool[Array, " B"]]:
    """A batch's parts, layers of neurons one after another."""
    (transformer, (chosen, maps)), (tokens, lengths, positions, vectors) = shared, own
    config = transformer.config
    record = record_rows(transformer, tokens, lengths, (ACTIVATIONS,), None)
    parts = []
    for at, neurons, own_maps in zip(layers, chosen, maps, strict=True):
        codes = effect_codes(record, at, neurons, positions, aimed)
        part = codes[..., None] * jnp.einsum("mkd,brd->bmkr", own_maps, vectors)
        above = part.reshape(*part.shape[:2], -1, config.num_heads, part.shape[-1])
        missing = config.num_layers - at - 1 - above.shape[2]
        parts.append(jnp.pad(above, ((0, 0), (0, 0), (at + 1, missing), (0, 0), (0, 0))))
    return {"heads": jnp.concatenate(parts, axis=1)}, jnp.all(record.finite, axis=1)


@functools.partial(jax.jit, static_argnames=("at", "aimed"))
@full_precision
def _maps(transformer: Transformer, at: int, neurons: Array, aimed: int | None) -> Float[Array, "m K D"]:
    return effect_maps(transformer, at, neurons, aimed)


@dataclasses.dataclass(frozen=True)
class HeadsJob(AimedJob):
    """Parts of chosen neurons' scores.

    Attributes:
        neurons: ordered by layer, none of a layer above which no head stands.
    """

    name, version, program = "second_order_heads", "1", staticmethod(_split)
    neurons: Neurons

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """See the module."""
        config = self.model.config
        shape = (len(self.neurons.layer), config.num_layers, config.num_heads, len(self.aims.names))
        notes = {
            "directions": list(self.aims.names), "layer": self.neurons.layer.tolist(),
            "neuron": self.neurons.neuron.tolist(),
        }  # fmt: skip
        axes = ("neuron", "head_layer", "head", "direction")
        return {"heads": ArraySpec(shape, self.model.numerics.accumulate, axes, notes)}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Directions and neurons."""
        chosen = {"layer": self.neurons.layer.tolist(), "neuron": self.neurons.neuron.tolist()}
        return {**super().settings, **chosen}

    @property
    def static(self) -> Mapping[str, Any]:
        """What `_split` is compiled for."""
        return {"layers": self.neurons.layers, "aimed": self.aims.layer}

    @functools.cached_property
    def shared(self) -> tuple[tuple[Array, ...], Maps]:
        """Numbers and maps of each layer's neurons."""
        chosen = tuple(jnp.asarray(self.neurons.of(at)) for at in self.neurons.layers)
        transformer, aimed = self.model.transformer, self.aims.layer
        each = zip(self.neurons.layers, chosen, strict=True)
        return chosen, tuple(_maps(transformer, at, neurons, aimed) for at, neurons in each)


def heads_of(scores: ScoresJob, neurons: Neurons) -> HeadsJob:
    """The split of some neurons' scores, ordered by layer; those above which no head stands are left out.

    Raises:
        ValueError: neurons that the model does not have, or none above which a head stands.
    """
    neurons.check_of(scores.model.config)
    top = scores.model.config.num_layers - 1 if scores.aims.layer is None else scores.aims.layer
    if (below := neurons.below(top)) is None:
        raise ValueError(f"neurons: none is of a layer below {top}, the last whose heads can read them")
    order = np.argsort(below.layer, kind="stable")
    chosen = Neurons(below.layer[order], below.neuron[order])
    return HeadsJob(scores.model, scores.prompts, scores.aims, chosen, parallel=scores.parallel)
