"""Floats as integers of the same order, so that the largest can be found by comparing integers.

Bits of a float that is not negative are in its order as they stand; of a negative one, all but the sign are reversed.
Both zeros are one here, and whatever is not a number counts as one, the largest.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def comparable(values: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """The values with one zero and one NaN."""
    return jnp.where(values == 0, 0, jnp.where(jnp.isnan(values), jnp.nan, values)).astype(values.dtype)


def to_integers(values: Float[Array, "*any"]) -> Int[Array, "*any"]:
    """Integers as wide as the values."""
    return _reversed(jax.lax.bitcast_convert_type(comparable(values), f"int{8 * values.dtype.itemsize}"))


def from_integers(ordered: Int[Array, "*any"], dtype: jnp.dtype) -> Float[Array, "*any"]:
    """The values that `to_integers` was given."""
    return jax.lax.bitcast_convert_type(_reversed(ordered), dtype)


def _reversed(bits: Int[Array, "*any"]) -> Int[Array, "*any"]:
    sign = bits >> (8 * bits.dtype.itemsize - 1)
    return bits ^ (sign & jnp.iinfo(bits.dtype).max)
