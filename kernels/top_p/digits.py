"""Digits of a positive float's bit pattern, decided from the top: what both implementations of top-p share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# How many bits a pass decides where readings of the weights are what costs.
DIGIT = 4


@dataclasses.dataclass(frozen=True)
class Search:
    """Which bit patterns are looked through: from `start` on as many as `bits` bits tell apart, `digit` bits a pass."""

    start: int
    bits: int
    digit: int

    @property
    def passes(self) -> int:
        """How many decide all bits."""
        return -(-self.bits // self.digit)

    def step(self, place: Array) -> Array:
        """What one more in a digit adds to the pattern; the last digit may reach into bits that are decided."""
        return jnp.left_shift(jnp.int32(1), jnp.maximum(self.bits - self.digit * (place + 1), 0))


def search(between: tuple[float, float], digit: int) -> Search:
    """What finds a float between two that are not negative, both included."""
    low, high = (int(np.float32(bound).view(np.int32)) for bound in between)
    return Search(low, max((high - low).bit_length(), 1), digit)


def above(low: Array, step: Array, digit: int) -> list[Array]:
    """The thresholds between `low` and the next number of the digit above."""
    return [to_float(low + k * step) for k in range(1, 2**digit)]


def enough(masses: list[Array], needed: Array) -> Array:
    """How many of the thresholds, which ascend, are low enough."""
    return sum(((mass >= needed).astype(jnp.int32) for mass in masses), jnp.int32(0))


def to_float(pattern: Array) -> Array:
    """The float of a bit pattern."""
    return jax.lax.bitcast_convert_type(pattern, jnp.float32)
