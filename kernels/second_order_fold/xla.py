"""The second-order fold in plain XLA."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def fold(
    pattern: Float[Array, "B L H T S"],
    position: Int[Array, " B"],
    scale: Float[Array, "B L S"],
    activations: Float[Array, "B S N"],
) -> Float[Array, "B N K"]:
    """Codes: the weights of all heads, then one product a prompt."""
    rows = jnp.take_along_axis(pattern, position[:, None, None, None, None], axis=3)[:, :, :, 0]
    weights = (rows * scale[:, :, None]).astype(activations.dtype)
    b, layers, heads, s = weights.shape
    return jnp.einsum("bks,bsn->bnk", weights.reshape(b, layers * heads, s), activations)
