"""The threshold of top-p in plain XLA: a pass over the weights for each digit."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.kernels.top_p.digits import DIGIT, Search, above, enough, search, to_float

# One block of a GPU's threads sums so many at once; of longer rows XLA writes the sums of every 256 first.
SUMMED, MOST_PARTS = 1 << 14, 64


def threshold(
    weights: Float[Array, "B V"], needed: Float[Array, "B 1"], between: tuple[float, float]
) -> Float[Array, "B 1"]:
    """The largest threshold from which on the mass is enough."""
    one, several = (functools.partial(by_digits, found=search(between, digit)) for digit in (1, DIGIT))
    return jax.lax.platform_dependent(weights, needed, cpu=one, default=several)


def by_digits(weights: Float[Array, "B V"], needed: Float[Array, "B 1"], found: Search) -> Float[Array, "B 1"]:
    """The same, by that search."""

    def decide(place: Int[Array, ""], low: Int[Array, "B 1"]) -> Int[Array, "B 1"]:
        step = found.step(place)
        return low + step * enough(_masses(weights, above(low, step, found.digit)), needed)

    return to_float(jax.lax.fori_loop(0, found.passes, decide, jnp.full(needed.shape, found.start, jnp.int32)))


def _masses(weights: Float[Array, "B V"], thresholds: list[Float[Array, "B 1"]]) -> list[Float[Array, "B 1"]]:
    """The mass from each threshold on, as one reduction: separate ones would each read the weights."""
    split = 1 if len(thresholds) == 1 else _parts(weights.shape[1])
    weights = weights.reshape(len(weights), split, -1)
    sums = _sums([jnp.where(weights >= threshold[:, None], weights, 0) for threshold in thresholds])
    return [mass[:, None] for mass in (_sums(sums) if split > 1 else [mass[:, 0] for mass in sums])]


def _sums(arrays: list[Float[Array, "*rows V"]]) -> list[Float[Array, "*rows"]]:
    """The sum of each over its last axis, in one reduction."""
    zeros = (jnp.zeros((), jnp.float32),) * len(arrays)
    axis = (arrays[0].ndim - 1,)
    return list(jax.lax.reduce(tuple(arrays), zeros, lambda a, b: tuple(map(jnp.add, a, b)), axis))


def _parts(tokens: int) -> int:
    """Into how few equal parts a row is cut that are summed at once; 1 where there are none."""
    even = (n for n in range(1, MOST_PARTS + 1) if tokens % n == 0 and tokens <= n * SUMMED)
    return next(even, 1)
