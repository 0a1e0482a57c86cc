"""Scores of every neuron on directions, of many prompts, as a job that lasts.

A prompt runs once; one walk down its frozen pass reads what every neuron of every layer, and whatever is no neuron,
brings to each direction at the token read, by the number of attentions passed (`frozen.neurons`). A unit is some
batches of prompts (`frozen.batches`); its rows are prompts, and its arrays

    neurons     [L', O, R, N]   scores of the layers kept, orders 0 to O - 1
    mlp_biases  [L, O, R]       biases of MLPs          attention  [L, O, R]  what attention writes whatever it reads
    embedding   [O, R]          the stream before the first block
    value       [R]             the number that all of them, and what passes more attentions, add up to

The last norm's bias is no part of any: `value` is without it. Units are of the direction: logits, where it is of them.

Cost: a forward pass and the walk a prompt. Disk: 4 (L' N + 2 L + 2) O R bytes a prompt before compression.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from causeway.engine.analyses.second_order.aims import Aims
from causeway.engine.frozen.job import FrozenJob
from causeway.engine.frozen.neurons import STREAMS, neuron_effects
from causeway.engine.frozen.pullback import Targets, logit_targets
from causeway.engine.frozen.record import FrozenRecord, record_rows
from causeway.engine.model.transformer import Transformer
from causeway.engine.sweep.fingerprint import array_sha256
from causeway.engine.sweep.layout import ArraySpec


def _scored(
    shared: tuple[Transformer, None],
    own: tuple[Array, Array, Array, Float[Array, "B R D"]],
    *,
    layers: Sequence[int],
    orders: int,
    aimed: int | None,
) -> tuple[dict[str, Array], Bool[Array, " B"]]:
    """A batch's scores, and whether each row's pass gave numbers."""
    (transformer, _), (tokens, lengths, positions, vectors) = shared, own
    stream = "final_norm" if aimed is None else "resid_post"
    record = record_rows(transformer, tokens, lengths, (*STREAMS, stream), None)

    def of_prompt(record: FrozenRecord, position: Array, vectors: Float[Array, "R D"]) -> dict[str, Any]:
        rows = len(vectors)
        if aimed is None:
            targets = logit_targets(transformer, record, vectors, position)
        else:
            targets = Targets(jnp.full(rows, aimed), jnp.full(rows, position), vectors)
        found = neuron_effects(transformer, record, targets, orders=orders)
        value = vectors @ _read(transformer, record.streams[stream][aimed or 0, position].astype(vectors.dtype), aimed)
        return {
            "neurons": found.neurons[jnp.asarray(layers)], "mlp_biases": found.mlp_biases,
            "attention": found.attention, "embedding": found.embedding, "value": value,
        }  # fmt: skip

    return jax.vmap(of_prompt)(record, positions, vectors), jnp.all(record.finite, axis=1)


def _read(transformer: Transformer, x: Float[Array, " D"], aimed: int | None) -> Float[Array, " D"]:
    """What the directions are of, without the last norm's bias."""
    bias = getattr(transformer.final_norm, "bias", None)
    return x if aimed is not None or bias is None else x - bias[...].astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class AimedJob(FrozenJob):
    """A reading on directions, which its program gets as `extra`.

    Attributes:
        aims: the directions.
    """

    aims: Aims

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is read of, by name."""
        return {"directions": self.aims.names, "direction_layer": self.aims.layer}

    @property
    def digests(self) -> Mapping[str, str]:
        """Of the directions."""
        return {"directions": array_sha256(np.ascontiguousarray(self.aims.vectors))}

    def extra(self, numbers: list[int]) -> Float[np.ndarray, "B R D"]:
        """The directions of prompts."""
        return self.aims.of(numbers)


@dataclasses.dataclass(frozen=True)
class ScoresJob(AimedJob):
    """Scores of all neurons of some layers.

    Attributes:
        layers: whose neurons are kept. orders: most attentions passed.
    """

    name, version, program = "second_order", "1", staticmethod(_scored)
    layers: tuple[int, ...]
    orders: int = 1

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """See the module."""
        config, count, orders = self.model.config, len(self.aims.names), self.orders + 1
        each = ((config.num_layers, orders, count), ("layer", "order", "direction"))
        shapes: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
            "neurons": ((len(self.layers), orders, count, config.d_ff), ("layer", "order", "direction", "neuron")),
            "mlp_biases": each, "attention": each, "embedding": ((orders, count), ("order", "direction")),
            "value": ((count,), ("direction",)),
        }  # fmt: skip
        notes = {"directions": list(self.aims.names), "unit": "inner product with the direction"}
        return {
            name: ArraySpec(shape, self.model.numerics.accumulate, axes, notes | {"layers": list(self.layers)})
            for name, (shape, axes) in shapes.items()
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        """Directions, layers and orders."""
        return {**super().settings, "layers": self.layers, "orders": self.orders}

    @property
    def static(self) -> Mapping[str, Any]:
        """What `_scored` is compiled for."""
        return {"layers": self.layers, "orders": self.orders, "aimed": self.aims.layer}
