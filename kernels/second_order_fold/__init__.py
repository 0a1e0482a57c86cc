"""The second-order fold: what each later head brings to one token of every neuron's activations.

    codes[b, n, (l, h)] = sum_s pattern[b, l, h, position_b, s] * scale[b, l, s] * activations[b, s, n]

One query row of each pattern is gathered, divided by the norm's denominator and multiplied with the activations; all
else of a second-order effect is weights alone.

    xla       the weights [B, K, S] are formed, then one product a prompt
    pallas    one kernel: rows are gathered and scaled as they are multiplied, tile by tile of neurons; not yet measured

Shapes: B prompts, L layers, H heads, T queries, S tokens, N neurons, K = L H.
Cost: 2 S K N operations a prompt.
"""

import functools
from typing import Literal

import jax
from jaxtyping import Array, Float, Int

from causeway.kernels.second_order_fold import pallas, xla

Implementation = Literal["xla", "pallas"]
IMPLEMENTATIONS = {"xla": xla.fold, "pallas": pallas.fold}


@functools.partial(jax.jit, static_argnames="implementation", inline=True)
def second_order_fold(
    pattern: Float[Array, "B L H T S"],
    position: Int[Array, " B"],
    scale: Float[Array, "B L S"],
    activations: Float[Array, "B S N"],
    *,
    implementation: Implementation = "xla",
) -> Float[Array, "B N K"]:
    """Codes of every neuron, in the activations' dtype.

    Args:
        pattern: attention patterns.
        position: of the query whose row is taken.
        scale: 1 / sigma of the norm before attention at each token, and whatever else scales a token of a layer.
        activations: of the neurons.
        implementation: how it is computed.
    """
    return IMPLEMENTATIONS[implementation](pattern, position, scale, activations)
