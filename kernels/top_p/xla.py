"""The threshold of top-p in plain XLA: a pass over the weights for each digit."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.kernels.top_p.digits import BITS, DIGIT, above, enough, step_of, to_float


def threshold(weights: Float[Array, "B V"], needed: Float[Array, "B 1"]) -> Float[Array, "B 1"]:
    """The largest threshold from which on the mass is enough."""
    one, several = (functools.partial(by_digits, digit=digit) for digit in (1, DIGIT))
    return jax.lax.platform_dependent(weights, needed, cpu=one, default=several)


def by_digits(weights: Float[Array, "B V"], needed: Float[Array, "B 1"], digit: int) -> Float[Array, "B 1"]:
    """The same, with so many bits decided by a pass."""

    def decide(place: Int[Array, ""], low: Int[Array, "B 1"]) -> Int[Array, "B 1"]:
        step = step_of(place, digit)
        return low + step * enough(_masses(weights, above(low, step, digit)), needed)

    return to_float(jax.lax.fori_loop(0, -(-BITS // digit), decide, jnp.zeros(needed.shape, jnp.int32)))


def _masses(weights: Float[Array, "B V"], thresholds: list[Float[Array, "B 1"]]) -> list[Float[Array, "B 1"]]:
    """The mass from each threshold on, as one reduction: separate ones would each read the weights."""
    parts = tuple(jnp.where(weights >= threshold, weights, 0) for threshold in thresholds)
    zeros = (jnp.zeros((), weights.dtype),) * len(parts)
    sums = jax.lax.reduce(parts, zeros, lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True)), (1,))
    return [mass[:, None] for mass in sums]
