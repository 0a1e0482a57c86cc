"""The k strongest features of a dictionary, of each token.

    f = activation(x W_enc + b_enc, *parameters)        values, ids = top_k(f)

Of equal values the lower id comes first: where fewer than k features are active, the first inactive ones follow.

    xla       all features [B, F], then `kernels/top_k` of them
    pallas    tile by tile of features, of which each program keeps its k best: [B, F] is never there; not yet measured

A scan over tiles with k kept from one to the next, in plain XLA, needs [B, tile] too, but copies each tile of the
encoder out of it; it was slower than the whole product on a CPU and is not here.

Shapes: B tokens, D model, F features, k kept.
Cost: 2 D F operations a token.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
from jaxtyping import Array, Float, Int

from causeway.kernels.encode_top_k import pallas, xla

Implementation = Literal["xla", "pallas"]
IMPLEMENTATIONS = {"xla": xla.strongest, "pallas": pallas.strongest}


@functools.partial(jax.jit, static_argnames=("activation", "k", "implementation"), inline=True)
def encode_top_k(
    x: Float[Array, "B D"],
    encoder: Float[Array, "D F"],
    bias: Float[Array, " F"],
    parameters: tuple[Float[Array, " F"], ...] = (),
    *,
    activation: Callable[..., Array],
    k: int,
    implementation: Implementation = "xla",
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Values, largest first and in x's dtype, and ids.

    Args:
        x: what the dictionary reads.
        encoder: W_enc. bias: b_enc.
        parameters: of the activation, one a feature each.
        activation: elementwise, of pre-activations and the parameters of their features; any two arrays that broadcast.
        k: how many are kept, at most F.
        implementation: how it is computed.

    Raises:
        ValueError: k is not 1 to F.
    """
    if not 1 <= k <= encoder.shape[1]:
        raise ValueError(f"k: got {k}; the dictionary has {encoder.shape[1]} features, so 1 to that many")
    return IMPLEMENTATIONS[implementation](x, encoder, bias, parameters, activation, k)
