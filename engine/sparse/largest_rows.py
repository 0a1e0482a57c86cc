"""The prompts on which each neuron's effect is largest, from a stream, and the direction that they share.

The size of an effect is that of its deviation from the neuron's mean effect,

    |phi - E phi| = sqrt((s - m) G (s - m)')

with m the mean code, known from a pass before (`code_moments`). Of each neuron the k largest are kept, sizes and codes,
whatever the number of prompts. As published, the k-th largest is the neuron's threshold (an effect beyond it is called
significant, which k of the prompts are by definition), and its direction is the first singular vector of those k
deviations without centring them again, its sign such that more than half of them have it positive.

Source: Gandelsman, Efros and Steinhardt 2025, "Interpreting the Second-Order Effects of Neurons in CLIP", section 4.

Shapes: B prompts of a batch, N neurons, K codes, k rows kept.
Cost: 2 B N K^2 operations a batch. Memory: N k (K + 2) numbers.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.precision import full_precision
from causeway.engine.sparse.gram_pca import Directions, directions_of, loadings_of


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LargestRows:
    """The largest effects of each neuron so far, the smallest of them first.

    Attributes:
        norms: [N, k] their sizes, ascending, so that norms[:, 0] is the threshold; -inf where no prompt has come yet.
        deviations: [N, k, K] codes less the mean code.
        prompt: [N, k] numbers of the prompts; -1 where none has come yet.
    """

    norms: Float[Array, "N k"]
    deviations: Float[Array, "N k K"]
    prompt: Int[Array, "N k"]

    @classmethod
    def empty(cls, neurons: int, k: int, codes: int, dtype: jnp.dtype = jnp.float32) -> "LargestRows":
        """No rows yet."""
        norms = jnp.full((neurons, k), -jnp.inf, dtype)
        return cls(norms, jnp.zeros((neurons, k, codes), dtype), jnp.full((neurons, k), -1, jnp.int32))

    @property
    def whole(self) -> bool:
        """Whether every neuron has k rows; not inside a program."""
        return bool(jnp.isfinite(self.norms).all())


def check_rows(k: int, prompts: int) -> None:
    """Refuse more rows than there are prompts, before anything is read.

    Raises:
        ValueError: naming both.
    """
    if not 1 <= k <= prompts:
        raise ValueError(f"k: got {k} largest effects of each neuron from {prompts} prompts; needs from 1 to {prompts}")


@full_precision
def effect_norms(
    codes: Float[Array, "B N K"], mean: Float[Array, "N K"], gram: Float[Array, "N K K"]
) -> Float[Array, "B N"]:
    """Sizes of the effects' deviations from their mean."""
    off = codes - mean
    return jnp.sqrt(jnp.maximum(jnp.einsum("bnk,nkl,bnl->bn", off, gram, off, optimize="optimal"), 0))


def with_rows(
    largest: LargestRows,
    codes: Float[Array, "B N K"],
    prompt: Int[AnyArray, " B"],
    mean: Float[Array, "N K"],
    gram: Float[Array, "N K K"],
    there: Bool[Array, " B"] | None = None,
) -> LargestRows:
    """The largest of those so far and a batch's; of equal ones the earlier.

    Args:
        largest: those so far. codes, prompt: of the batch, with the prompts' numbers.
        mean, gram: of each neuron's code, and M M'.
        there: which rows are prompts, where a batch is filled up; default: all.
    """
    rows = jnp.ones(len(codes), bool) if there is None else there
    norms = jnp.where(rows[:, None], effect_norms(codes, mean, gram), -jnp.inf)
    off = jnp.where(rows[:, None, None], codes - mean, 0)
    numbers = jnp.broadcast_to(jnp.asarray(prompt, jnp.int32), norms.shape[::-1])
    # Descending, so that of equal ones the first, which came earlier, is taken.
    sizes = jnp.concatenate([largest.norms[:, ::-1], norms.T], axis=1)
    deviations = jnp.concatenate([largest.deviations[:, ::-1], jnp.swapaxes(off, 0, 1)], axis=1)
    names = jnp.concatenate([largest.prompt[:, ::-1], numbers], axis=1)
    kept, at = jax.lax.top_k(sizes, largest.norms.shape[1])
    deviations = jnp.take_along_axis(deviations, at[..., None], axis=1)[:, ::-1]
    return LargestRows(kept[:, ::-1], deviations, jnp.take_along_axis(names, at, axis=1)[:, ::-1])


def first_direction(largest: LargestRows, gram: Float[Array, "N K K"]) -> Directions:
    """The published direction of each neuron (C = 1), its sign fixed by its own rows."""
    found = directions_of(jnp.swapaxes(largest.deviations, 1, 2), gram, 1)
    return Directions(oriented(found.coefficients, largest, gram), found.variance)


@jax.jit
@full_precision
def oriented(
    coefficients: Float[Array, "N C K"], largest: LargestRows, gram: Float[Array, "N K K"]
) -> Float[Array, "N C K"]:
    """Directions of either sign, turned so that most of the largest effects have them positive.

    Where just as many have them negative, their sum decides (as published, whatever sign the direction came with).
    """
    along = jnp.einsum("njk,nck->ncj", largest.deviations, loadings_of(coefficients, gram))
    votes = 2 * jnp.sum(along > 0, axis=2) - along.shape[2]
    positive = jnp.where(votes == 0, jnp.sum(along, axis=2) > 0, votes > 0)
    return jnp.where(positive[..., None], coefficients, -coefficients)
