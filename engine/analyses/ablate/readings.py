"""What ablation reads of prompts beside their codes: mean activations by the kind of position, and mass by layer.

A token is of one of three kinds, as activations of each are unlike the others': the first one, the last one (where the
output is read), and those between. A prompt of one token has a last one alone.

The second-order mass of a layer on a prompt is sum_n |phi_n . u| over all its neurons, u being the difference of the
unembedding's columns of the right and the wrong answer: logits that pass exactly one attention.

Shapes: P prompts, L layers, M chosen neurons of a layer, T tokens. Cost: a forward pass each, and one walk down.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from causeway.engine.analyses.components.code_sweep import array_name
from causeway.engine.frozen.job import FrozenJob, NeuronsJob
from causeway.engine.frozen.neurons import ACTIVATIONS, STREAMS, neuron_effects
from causeway.engine.frozen.pullback import logit_targets
from causeway.engine.frozen.record import record_rows
from causeway.engine.sweep.fingerprint import array_sha256
from causeway.engine.sweep.layout import ArraySpec

KINDS = ("first", "between", "last")
Spans = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def spans(length: int) -> Spans:
    """Tokens [start, stop) of each kind in a prompt."""
    return (0, min(1, length - 1)), (min(1, length - 1), length - 1), (length - 1, length)


def _summed(shared: Any, own: Any, *, layers: tuple[int, ...]) -> tuple[dict[str, Array], Bool[Array, " B"]]:
    """Sums of the neurons' activations over the tokens of each kind."""
    (transformer, neurons), (tokens, lengths, _, _) = shared, own
    record = record_rows(transformer, tokens, lengths, (ACTIVATIONS,), None)
    at, end = jnp.arange(tokens.shape[1])[None], lengths[:, None] - 1
    kinds = jnp.stack([(at == 0) & (end > 0), (at > 0) & (at < end), at == end], axis=1)
    found = {}
    for layer in layers:
        x = record.streams[ACTIVATIONS][:, layer][:, :, neurons[layer]].astype(record.final_scale.dtype)
        found[array_name(layer)] = jnp.einsum("bct,btm->bcm", kinds.astype(x.dtype), x)
    return found, jnp.all(record.finite, axis=1)


@dataclasses.dataclass(frozen=True)
class ActivationSums(NeuronsJob):
    """Sums of chosen neurons' activations on each prompt, by the kind of token."""

    name, version, program = "ablate_activations", "1", staticmethod(_summed)

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """[3, M] of each layer."""
        dtype, own = self.model.numerics.accumulate, self.neurons
        return {array_name(a): ArraySpec((3, len(own.of(a))), dtype, ("kind", "neuron")) for a in own.layers}


def mean_activations(
    sums: Mapping[str, Float[np.ndarray, "P 3 M"]], lengths: Sequence[int]
) -> dict[int, Float[np.ndarray, "3 M"]]:
    """Means over all tokens of a kind, by layer; 0 of a kind that no prompt has.

    Args:
        sums: of each prompt. lengths: their numbers of tokens.
    """
    counts = np.array([[stop - start for start, stop in spans(length)] for length in lengths]).sum(axis=0)
    return {
        int(name.rpartition("_")[2]): array.astype(np.float64).sum(axis=0) / np.maximum(counts, 1)[:, None]
        for name, array in sums.items()
    }


def _massed(shared: Any, own: Any) -> tuple[dict[str, Array], Bool[Array, " B"]]:
    """Absolute second-order effects of every layer's neurons on one direction of each prompt, summed."""
    (transformer, _), (tokens, lengths, positions, vectors) = shared, own
    record = record_rows(transformer, tokens, lengths, STREAMS, None)

    def of_prompt(record: Any, position: Array, vector: Float[Array, " D"]) -> Float[Array, " L"]:
        targets = logit_targets(transformer, record, vector[None], position)
        return jnp.abs(neuron_effects(transformer, record, targets, orders=1).neurons[:, 1, 0]).sum(axis=-1)

    return {"mass": jax.vmap(of_prompt)(record, positions, vectors)}, jnp.all(record.finite, axis=1)


@dataclasses.dataclass(frozen=True)
class LayerMasses(FrozenJob):
    """Second-order mass of every layer on each prompt.

    Attributes:
        vectors: [P, D] a direction of the last norm's output for each prompt.
    """

    name, version, program = "ablate_mass", "1", staticmethod(_massed)
    vectors: Float[np.ndarray, "P D"]

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """[L]."""
        return {"mass": ArraySpec((self.model.config.num_layers,), self.model.numerics.accumulate, ("layer",))}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Nothing more."""
        return {}

    @property
    def digests(self) -> Mapping[str, str]:
        """Of the directions."""
        return {"directions": array_sha256(np.ascontiguousarray(self.vectors))}

    @property
    def static(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def extra(self, numbers: list[int]) -> Float[np.ndarray, "B D"]:
        """The directions of prompts."""
        return self.vectors[np.asarray(numbers)]
