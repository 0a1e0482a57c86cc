"""Digits of a positive float's bit pattern, decided from the top: what both implementations of top-p share."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

# Bits of a positive float, and how many of them a pass decides where readings of the weights are what costs.
BITS, DIGIT = 31, 4


def step_of(place: Array, digit: int) -> Array:
    """What one more in this digit adds to the bit pattern; the last digit may reach into bits that are decided."""
    return jnp.left_shift(jnp.int32(1), jnp.maximum(BITS - digit * (place + 1), 0))


def above(low: Array, step: Array, digit: int) -> list[Array]:
    """The thresholds between `low` and the next number of the digit above."""
    return [to_float(low + k * step) for k in range(1, 2**digit)]


def enough(masses: list[Array], needed: Array) -> Array:
    """How many of the thresholds, which ascend, are low enough."""
    return sum(((mass >= needed).astype(jnp.int32) for mass in masses), jnp.int32(0))


def to_float(pattern: Array) -> Array:
    """The float of a bit pattern."""
    return jax.lax.bitcast_convert_type(pattern, jnp.float32)
