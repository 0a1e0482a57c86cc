"""Attention of one token a row over a cache in pieces.

    z = sum_s softmax_s(cap(scale q . k_s)) v_s          s: the token itself, and what its pieces' masks show

cap(x) = c tanh(x / c), or x where c is 0. The softmax is over the union of the pieces, a prefix that all rows share
and segments of each row's own, without joining them, because copying a cache costs more than the arithmetic.

    xla       scores of every piece [G, B, M, S], their maximum, their weights, their products; the only one in which
              weights can be changed before they are used. Off the CPU rows' own keys are one more key of the shared
              ones (`in_place`), as long as fewer than 8 queries share a key and nothing changes weights
    pallas    for each piece one kernel that reads keys and values once and keeps peak, sum and product of what it has
              seen (flash decoding); pieces are joined by their peaks. Not yet measured

Shapes: G groups of keys and values, B rows, M queries of a group, S tokens of a piece, K head width.
Cost: 4 S K operations a query; bytes are those of keys and values, of a shared piece once for all rows.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from causeway.kernels.decode_attention import pallas, xla
from causeway.kernels.decode_attention.pieces import Pieces, RowKeys, SharedKeys

__all__ = ["Implementation", "RowKeys", "SharedKeys", "decode_attention"]

Implementation = Literal["xla", "pallas"]


def decode_attention(
    q: Float[Array, "G B M K"],
    own: tuple[Float[Array, "G B M K"], Float[Array, "G B M K"]],
    pieces: Pieces,
    *,
    scale: float,
    cap: float = 0.0,
    dtype: jnp.dtype = jnp.float32,
    change: Callable[[Float[Array, "G B M S"], int], Float[Array, "G B M S"]] | None = None,
    implementation: Implementation = "xla",
) -> Float[Array, "G B M K"]:
    """Head outputs, in q's dtype.

    Args:
        q: queries.
        own: the token's key and value, repeated for the M queries of a group.
        pieces: what was before it.
        scale: of products. cap: of scores.
        dtype: of scores, weights and sums.
        change: gives other weights for those of each piece and, after the last, of the own keys; None: they stay.
        implementation: how it is computed.

    Raises:
        ValueError: weights are to be changed where none are formed.
    """
    if implementation == "xla":
        return xla.attend(q, own, pieces, scale, cap, dtype, change)
    if change is not None:
        raise ValueError("change: the pallas implementation forms no weights; use implementation='xla'")
    return pallas.attend(q, own, pieces, scale, cap, dtype)
