"""What a few features of a dictionary write, of each token.

    y[b] = sum_k values[b, k] W_dec[ids[b, k]]

    xla       one of a token's features after another: a gather of rows [B, O] and a sum
    pallas    each program sums rows of one token, a tile of O at a time, in registers; not yet measured

Neither gathers [B, k, O]. Sums are in float32 or better.

Shapes: B tokens, k features of each, F features in all, O the stream written.
Cost: 2 k O operations a token, and k rows of the decoder read; the product of all features is 2 F O.
"""

import functools
from typing import Literal

import jax
from jaxtyping import Array, Float, Int

from causeway.kernels.sparse_decode import pallas, xla

Implementation = Literal["xla", "pallas"]
IMPLEMENTATIONS = {"xla": xla.decode, "pallas": pallas.decode}


@functools.partial(jax.jit, static_argnames="implementation", inline=True)
def sparse_decode(
    values: Float[Array, "B k"],
    ids: Int[Array, "B k"],
    decoder: Float[Array, "F O"],
    *,
    implementation: Implementation = "xla",
) -> Float[Array, "B O"]:
    """What the features write, in the values' dtype.

    Args:
        values: of the features. ids: which they are, 0 to F - 1; one that occurs twice counts twice.
        decoder: W_dec.
        implementation: how it is computed.
    """
    return IMPLEMENTATIONS[implementation](values, ids, decoder)
