"""Decoding a few features in plain XLA."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def decode(values: Float[Array, "B k"], ids: Int[Array, "B k"], decoder: Float[Array, "F O"]) -> Float[Array, "B O"]:
    """What the features write, one of each token at a time."""
    dtype = jnp.promote_types(values.dtype, jnp.float32)

    def add(total: Array, one: tuple[Array, Array]) -> tuple[Array, None]:
        value, feature = one
        return total + value.astype(dtype)[:, None] * decoder[feature].astype(dtype), None

    start = jnp.zeros((values.shape[0], decoder.shape[1]), dtype)
    return jax.lax.scan(add, start, (values.T, ids.T))[0].astype(values.dtype)
