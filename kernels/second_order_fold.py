"""The second-order fold: what each later head brings to one token of every neuron's activations.

    codes[b, n, (l, h)] = sum_s pattern[b, l, h, position_b, s] * scale[b, l, s] * activations[b, s, n]

One query row of each pattern is gathered, divided by the norm's denominator and multiplied with the activations; all
else of a second-order effect is weights alone.

Shapes: B prompts, L layers, H heads, T queries, S tokens, N neurons, K = L H.
Cost: 2 S K N operations a prompt. `xla` forms the weights [B, K, S] and one product a prompt.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Implementation = Literal["xla"]


def second_order_fold(
    pattern: Float[Array, "B L H T S"],
    position: Int[Array, " B"],
    scale: Float[Array, "B L S"],
    activations: Float[Array, "B S N"],
) -> Float[Array, "B N K"]:
    """Codes of every neuron, in the activations' dtype.

    Args:
        pattern: attention patterns.
        position: of the query whose row is taken.
        scale: 1 / sigma of the norm before attention at each token, and whatever else scales a token of a layer.
        activations: of the neurons.
    """
    rows = jnp.take_along_axis(pattern, position[:, None, None, None, None], axis=3)[:, :, :, 0]
    weights = (rows * scale[:, :, None]).astype(activations.dtype)
    b, layers, heads, s = weights.shape
    return jnp.einsum("bks,bsn->bnk", weights.reshape(b, layers * heads, s), activations)
