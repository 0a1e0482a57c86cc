"""What both implementations make of a product of query and key."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def scaled(products: Float[Array, "*any"], scale: float, cap: float) -> Float[Array, "*any"]:
    """Scores after scale and cap; a cap of 0 is none."""
    scores = products * scale
    return cap * jnp.tanh(scores / cap) if cap else scores
