"""Attention over pieces by flash decoding: each piece's softmax is carried along as its keys and values are read.

    (z, peak, total) of a piece      z = sum_s exp(score_s - peak) v_s,   total = sum_s exp(score_s - peak)

and pieces, the own token among them, are joined by their peaks. Of a shared piece a program takes one query of many
rows, a product of a tensor core's size; of rows' own keys it takes all queries of one row, and each key is read once.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from causeway.kernels.decode_attention.pieces import Pieces, RowKeys, SharedKeys
from causeway.kernels.decode_attention.scores import scaled
from causeway.kernels.launch import launch, next_power

# Rows of a program, tokens of a step: of a shared piece, and of rows' own keys.
ROWS, SHARED_TOKENS, ROW_TOKENS = 32, 64, 16

# What a piece gives: products [G, B, M, K], peaks and sums of weights [G, B, M].
Partial = tuple[Array, Array, Array]


def attend(
    q: Float[Array, "G B M K"],
    own: tuple[Float[Array, "G B M K"], Float[Array, "G B M K"]],
    pieces: Pieces,
    scale: float,
    cap: float,
    dtype: jnp.dtype,
) -> Float[Array, "G B M K"]:
    """Head outputs."""
    own_score = scaled(jnp.sum(q.astype(dtype) * own[0].astype(dtype), axis=-1), scale, cap)
    found = [(own[1].astype(dtype), own_score, jnp.ones_like(own_score))]
    score = functools.partial(scaled, scale=scale, cap=cap)
    found += [_piece(q, piece, score, dtype) for piece in pieces if piece.mask.shape[-1]]
    peak = functools.reduce(jnp.maximum, (peak for _, peak, _ in found))
    shares = [jnp.exp(each - peak) for _, each, _ in found]
    total = sum(share * each for share, (_, _, each) in zip(shares, found, strict=True))
    z = sum(share[..., None] * each for share, (each, _, _) in zip(shares, found, strict=True))
    return (z / jnp.expand_dims(total, -1)).astype(q.dtype)


def _piece(q: Float[Array, "G B M K"], piece: SharedKeys | RowKeys, score, dtype: jnp.dtype) -> Partial:
    """What a piece gives, by the kernel of its kind."""
    g, b, m, k = q.shape
    shared, wide = isinstance(piece, SharedKeys), next_power(k)
    rows = min(ROWS, next_power(b)) if shared else 1
    queries = 1 if shared else next_power(m, 1)
    tall = -(-b // rows) * rows
    q = jnp.pad(q, ((0, 0), (0, tall - b), (0, -m % queries), (0, wide - k)))
    mask = jnp.broadcast_to(piece.mask, (m, piece.mask.shape[-1])).astype(jnp.int8)
    mask = jnp.pad(mask, ((0, -m % queries), (0, 0)))
    sizes = q.shape[:3]
    kernel = functools.partial(_shared if shared else _own, score=score)
    tile = pl.BlockSpec((None, rows, queries, wide), lambda i, j, n: (i, j, n, 0))
    row = pl.BlockSpec((None, rows, queries), lambda i, j, n: (i, j, n))
    whole = pl.BlockSpec()
    found = launch(
        kernel, q, piece.keys, piece.values, mask,
        grid=(g, tall // rows, sizes[2] // queries),
        in_specs=[tile, whole, whole, whole],
        out_specs=[tile, row, row],
        out_shape=[jax.ShapeDtypeStruct(q.shape, dtype), *[jax.ShapeDtypeStruct(sizes, dtype)] * 2],
    )  # fmt: skip
    return found[0][:, :b, :m, :k], found[1][:, :b, :m], found[2][:, :b, :m]


def _shared(q, keys, values, mask, z, peak, total, *, score) -> None:
    """One query of some rows, over keys [G, K, S] that they share."""
    group, query = pl.program_id(0), pl.program_id(2)
    asked, k = q[:, 0, :], jnp.arange(q.shape[2])

    def read(step: Array) -> tuple[Array, Array]:
        token = step * SHARED_TOKENS + jnp.arange(SHARED_TOKENS)
        at, there = pl.ds(step * SHARED_TOKENS, SHARED_TOKENS), token < mask.shape[1]
        inside = k < keys.shape[1]
        key = triton.load(keys.at[group, pl.ds(0, len(k)), at], mask=inside[:, None] & there[None], other=0)
        value = triton.load(values.at[group, at, pl.ds(0, len(k))], mask=there[:, None] & inside[None], other=0)
        seen = triton.load(mask.at[query, at], mask=there, other=0)
        return jnp.where((seen != 0)[None], score(_product(asked, key, z.dtype)), -jnp.inf), value

    found = _carry(read, -(-mask.shape[1] // SHARED_TOKENS), asked.shape, z.dtype)
    z[:, 0, :], peak[:, 0], total[:, 0] = found


def _own(q, keys, values, mask, z, peak, total, *, score) -> None:
    """All queries of one row, over its own keys [G, B, S, K]."""
    group, row = pl.program_id(0), pl.program_id(1)
    asked, k = q[0].astype(z.dtype), jnp.arange(q.shape[2])

    def read(step: Array) -> tuple[Array, Array]:
        token = step * ROW_TOKENS + jnp.arange(ROW_TOKENS)
        at, there = pl.ds(step * ROW_TOKENS, ROW_TOKENS), token < mask.shape[1]
        inside = there[:, None] & (k < keys.shape[3])[None]
        key = triton.load(keys.at[group, row, at, pl.ds(0, len(k))], mask=inside, other=0)
        value = triton.load(values.at[group, row, at, pl.ds(0, len(k))], mask=inside, other=0)
        seen = triton.load(mask.at[pl.ds(0, len(asked)), at], mask=there[None], other=0)
        products = jnp.sum(asked[:, None, :] * key.astype(z.dtype)[None], axis=2)
        return jnp.where(seen != 0, score(products), -jnp.inf), value

    z[0], peak[0], total[0] = _carry(read, -(-mask.shape[1] // ROW_TOKENS), asked.shape, z.dtype)


def _carry(read, steps: int, shape: tuple[int, int], dtype: jnp.dtype) -> Partial:
    """Products [n, K], peaks [n] and sums [n] of all steps; `read` gives a step's scores [n, S] and values [S, K]."""

    def join(step: Array, state: Partial) -> Partial:
        z, peak, total = state
        scores, value = read(step)
        higher = jnp.maximum(peak, jnp.max(scores, axis=1))
        # Where nothing was seen yet the peak is -inf, and weights of 0 are wanted, not exp(-inf + inf).
        base = jnp.where(higher == -jnp.inf, 0, higher)
        weights, kept = jnp.exp(scores - base[:, None]), jnp.exp(peak - base)
        z = z * kept[:, None] + _weighted(weights.astype(value.dtype), value, dtype)
        return z, higher, total * kept + jnp.sum(weights, axis=1)

    start = jnp.zeros(shape, dtype), jnp.full(shape[:1], -jnp.inf, dtype), jnp.zeros(shape[:1], dtype)
    return jax.lax.fori_loop(0, steps, join, start)


def _weighted(weights: Float[Array, "n S"], values: Float[Array, "S K"], dtype: jnp.dtype) -> Float[Array, "n K"]:
    # Few queries are less than a tensor core's product takes.
    if len(weights) >= 16:
        return _product(weights, values, dtype)
    return jnp.sum(weights.astype(dtype)[:, :, None] * values.astype(dtype)[None], axis=1)


def _product(left: Array, right: Array, dtype: jnp.dtype) -> Array:
    # The tensor core's own rounding of float32 to 10 bits is refused.
    precision = jax.lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
    return jnp.dot(left, right, precision=precision, preferred_element_type=dtype)
