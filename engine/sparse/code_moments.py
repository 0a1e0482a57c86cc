"""Mean and covariance of the codes of many neurons, from a stream of prompts.

A neuron's effect on a prompt is phi = s M, a code s [K] that depends on the prompt times a matrix M [K, D] of weights
alone. Whatever is linear or quadratic in the effect follows from the code's mean and covariance and from the Gram
matrix G = M M':

    E phi = E s M,    |phi|^2 = s G s',    total variance of phi = tr(Cov G)

so neither [prompts, neurons, D] nor [prompts, neurons, K] is ever kept. Batches are reduced to (count, mean,
M2 = sum (s - mean)' (s - mean)) and merged by Chan's update, which does not cancel:

    n = n_a + n_b;  delta = mean_b - mean_a
    mean = mean_a + delta n_b / n;  M2 = M2_a + M2_b + delta' delta n_a n_b / n

Pure functions of arrays: they run inside a compiled program or outside, in whatever dtype comes.

Shapes: B prompts of a batch, N neurons (a chunk that the caller chooses), K codes of a neuron, D stream.
Cost: 2 B N K^2 operations a batch. Memory: N K (K + 1) numbers, however many prompts.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from causeway.engine.arrays import AnyArray
from causeway.engine.precision import full_precision


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CodeMoments:
    """Sums of a stream of codes; `+` merges two streams.

    Attributes:
        count: prompts seen.
        mean: [N, K].
        m2: [N, K, K] sum of products of deviations from the mean.
    """

    count: Float[AnyArray, ""]
    mean: Float[AnyArray, "N K"]
    m2: Float[AnyArray, "N K K"]

    @classmethod
    def empty(cls, neurons: int, codes: int, dtype: jnp.dtype = jnp.float32) -> "CodeMoments":
        """Moments of no prompts."""
        return cls(jnp.zeros((), dtype), jnp.zeros((neurons, codes), dtype), jnp.zeros((neurons, codes, codes), dtype))

    def __add__(self, other: "CodeMoments") -> "CodeMoments":
        count = self.count + other.count
        # Of two empty streams every product below is 0.
        share = other.count / jnp.maximum(count, 1)
        delta = other.mean - self.mean
        between = delta[:, :, None] * delta[:, None, :] * (self.count * share)
        return CodeMoments(count, self.mean + delta * share, self.m2 + other.m2 + between)

    @property
    def covariance(self) -> Float[Array, "N K K"]:
        """With n - 1 in the denominator; 0 below two prompts, which have none."""
        return jnp.asarray(self.m2 / jnp.maximum(self.count - 1, 1))


@full_precision
def moments_of(codes: Float[Array, "B N K"], there: Bool[Array, " B"] | None = None) -> CodeMoments:
    """Moments of the codes of one batch.

    Args:
        codes: of each prompt and neuron.
        there: which rows are prompts, where a batch is filled up; default: all.
    """
    rows = jnp.ones(len(codes), bool) if there is None else there
    kept = jnp.where(rows[:, None, None], codes, 0)
    count = rows.sum().astype(codes.dtype)
    mean = kept.sum(axis=0) / jnp.maximum(count, 1)
    off = jnp.where(rows[:, None, None], codes - mean, 0)
    return CodeMoments(count, mean, jnp.einsum("bnk,bnj->nkj", off, off))


@full_precision
def gram_of(matrix: Float[Array, "N K D"]) -> Float[Array, "N K K"]:
    """G = M M' of each neuron."""
    return jnp.einsum("nkd,njd->nkj", matrix, matrix)


@jax.jit
def total_variance(covariance: Float[Array, "N K K"], gram: Float[Array, "N K K"]) -> Float[Array, " N"]:
    """Variance of the effect, summed over the D coordinates: tr(Cov G)."""
    return jnp.sum(covariance * gram, axis=(1, 2))


@jax.jit
def varies(moments: CodeMoments, gram: Float[Array, "N K K"]) -> Bool[Array, " N"]:
    """Neurons whose effect is not one vector on all prompts, as far as rounding lets one tell.

    Of the others no direction is principal: they belong in a report of how many they are, and in no average.
    """
    rounding = jnp.finfo(gram.dtype).eps * 16
    size = jnp.einsum("nk,nkj,nj->n", moments.mean, gram, moments.mean)
    return total_variance(moments.covariance, gram) > rounding**2 * jnp.maximum(size, 0)
