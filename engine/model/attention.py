"""Attention over a whole sequence, and over a cache in pieces.

Both compute, for every query head h of key/value group g,

    z = sum_s softmax_s(cap(scale q . k_s)) v_s          scale: 1 / sqrt(K) unless the configuration says otherwise

where cap(s) = c tanh(s / c) for decoders that cap their scores (Gemma-2), else s. A layer with a window sees the
latest tokens alone (`within`).

`attend_sequence` holds queries and keys of a sequence under a mask. `attend_pieces` holds one query a row against keys
that lie in several arrays (a prefix shared by all rows, filled segments, the segment being written, and the token
itself), as `kernels/decode_attention` has it. Softmax and sums are in the accumulation dtype.

Shapes: B rows, T tokens, H = G * R heads, K head width.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.kernels.decode_attention import RowKeys, SharedKeys, decode_attention


def window_of(config: ModelConfig, layer: int | Array) -> int | Array | None:
    """How many of the latest tokens a layer sees, the token itself included; None where no layer has a window."""
    if not config.windows:
        return None
    return jnp.asarray([window or config.max_position for window in config.windows])[layer]


def causal_mask(length: int, window: int | Array | None) -> Bool[Array, "T S"]:
    """Which of a sequence's tokens [S] each token [T] sees: itself and those before it, inside the window."""
    positions = jnp.arange(length)[None]
    mask = positions <= positions.T
    return mask if window is None else mask & (positions > positions.T - window)


def blank(v: Float[Array, "B T G K"], real: Bool[Array, "rows T"]) -> Float[Array, "B T G K"]:
    """Values with zeros at what is no token: a weight of 0 times an infinity or NaN would be NaN for all who see it."""
    return jnp.where(real[..., None, None], v, 0)


def scaled(scores: Array, config: ModelConfig) -> Array:
    """Scores after scale and cap."""
    scores = scores * config.score_scale
    cap = config.attention_softcap
    return cap * jnp.tanh(scores / cap) if cap else scores


def attend_sequence(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B S G K"],
    v: Float[Array, "B S G K"],
    mask: Bool[Array, "*rows T S"],
    config: ModelConfig,
    numerics: Numerics,
    observe: Callable[[str, Array], Array] = lambda _, pattern: pattern,
) -> Float[Array, "B T H K"]:
    """Head outputs; `observe` meets the patterns [B, H, T, S] and may give others, of one row for all rows.

    `mask` tells which keys each query sees: [T, S], or [B, 1, 1, T, S] where rows differ in it.
    """
    b, t, h, width = q.shape
    g = k.shape[2]
    grouped = q.reshape(b, t, g, h // g, width)
    dtype = numerics.accumulate_dtype
    scores = scaled(jnp.einsum("btgrk,bsgk->bgrts", grouped, k, preferred_element_type=dtype), config)
    pattern = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
    pattern = observe("attn_pattern", pattern.reshape(b, h, t, -1)).astype(v.dtype)
    pattern = pattern.reshape(-1, *scores.shape[1:])
    if len(pattern) < b:  # one pattern for all rows: a product a head, not one a row
        z = jnp.einsum("grts,bsgk->btgrk", pattern[0], v, preferred_element_type=dtype)
    else:
        z = jnp.einsum("bgrts,bsgk->btgrk", pattern, v, preferred_element_type=dtype)
    return z.reshape(b, t, h, width).astype(q.dtype)


def within(
    piece: SharedKeys | RowKeys, queries: Int[Array, "*M"], keys: Int[Array, " S"], window: int | Array | None
) -> SharedKeys | RowKeys:
    """The piece as queries at these positions see it through a window; `keys` are the positions of its keys."""
    if window is None:
        return piece
    return dataclasses.replace(piece, mask=piece.mask & (keys > queries[..., None] - window))


def attend_pieces(
    q: Float[Array, "G B M K"],
    own: tuple[Float[Array, "G B M K"], Float[Array, "G B M K"]],
    pieces: tuple[SharedKeys | RowKeys, ...],
    config: ModelConfig,
    numerics: Numerics,
    change: Callable[[Float[Array, "G B M S"], int], Float[Array, "G B M S"]] | None = None,
) -> Float[Array, "G B M K"]:
    """Head outputs for one token a row.

    Args:
        own: the token's key and value, repeated for the M queries of a group. change: gives other weights for those of
            each piece and, after the last, of the own keys; None: they stay.
    """
    return decode_attention(
        q, own, pieces,
        scale=config.score_scale, cap=config.attention_softcap, dtype=numerics.accumulate_dtype, change=change,
    )  # fmt: skip
