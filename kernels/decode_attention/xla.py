"""Attention over pieces in plain XLA: scores of all pieces, one maximum, then weights and products.

Off the CPU, where few queries share a key, as `in_place` has it.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from causeway.kernels.decode_attention import in_place
from causeway.kernels.decode_attention.pieces import Pieces, RowKeys, SharedKeys
from causeway.kernels.decode_attention.scores import scaled


def attend(
    q: Float[Array, "G B M K"],
    own: tuple[Float[Array, "G B M K"], Float[Array, "G B M K"]],
    pieces: Pieces,
    scale: float,
    cap: float,
    dtype: jnp.dtype,
    change: Callable[[Array, int], Array] | None,
) -> Float[Array, "G B M K"]:
    """Head outputs."""
    by_pieces = functools.partial(joined, scale=scale, cap=cap, dtype=dtype, change=change)
    if change is not None or q.shape[2] >= in_place.ALIGNED:
        return by_pieces(q, own, pieces)
    elsewhere = functools.partial(in_place.attend, scale=scale, cap=cap, dtype=dtype)
    return jax.lax.platform_dependent(q, own, pieces, cpu=by_pieces, default=elsewhere)


def joined(
    q: Float[Array, "G B M K"],
    own: tuple[Float[Array, "G B M K"], Float[Array, "G B M K"]],
    pieces: Pieces,
    scale: float,
    cap: float,
    dtype: jnp.dtype,
    change: Callable[[Array, int], Array] | None,
) -> Float[Array, "G B M K"]:
    """Head outputs, from the scores of all pieces and their one maximum."""
    own_score = scaled(jnp.sum(q.astype(dtype) * own[0].astype(dtype), axis=-1, keepdims=True), scale, cap)
    scores = [_scores(q, piece, scale, cap, dtype) for piece in pieces]
    peak = own_score
    for s in scores:
        peak = jnp.maximum(peak, jnp.max(s, axis=-1, keepdims=True, initial=-jnp.inf))
    weight = jnp.exp(own_score - peak)
    if change is not None:
        weights = [jnp.exp(s - peak) for s in scores]
        return _changed(own[1].astype(dtype), weight, weights, pieces, change).astype(q.dtype)
    total, z = weight, weight * own[1].astype(dtype)
    for s, piece in zip(scores, pieces, strict=True):
        w = jnp.exp(s - peak)
        total = total + jnp.sum(w, axis=-1, keepdims=True)
        z = z + _weighted(w.astype(piece.values.dtype), piece, dtype)
    return (z / total).astype(q.dtype)


def _changed(
    value: Array, own: Array, weights: list[Array], pieces: Pieces, change: Callable[[Array, int], Array]
) -> Float[Array, "G B M K"]:
    """Head outputs from weights that are divided by their sum first, and then changed."""
    total = own + sum(jnp.sum(w, axis=-1, keepdims=True) for w in weights)
    z = change(own / total, len(pieces)) * value
    for i, (w, piece) in enumerate(zip(weights, pieces, strict=True)):
        z = z + _weighted(change(w / total, i).astype(piece.values.dtype), piece, value.dtype)
    return z


def _scores(
    q: Float[Array, "G B M K"], piece: SharedKeys | RowKeys, scale: float, cap: float, dtype: jnp.dtype
) -> Float[Array, "G B M S"]:
    if isinstance(piece, SharedKeys):
        # Rows and queries fold into one axis: a full-size product per group, not one small product per row.
        g, b, m, width = q.shape
        flat = jnp.einsum("gnk,gks->gns", q.reshape(g, b * m, width), piece.keys, preferred_element_type=dtype)
        products = flat.reshape(g, b, m, -1)
    else:
        # Else XLA makes one product of those of small segments, from a copy of their keys side by side.
        alone, _ = jax.lax.optimization_barrier((q, piece.mask))
        products = jnp.einsum("gbmk,gbsk->gbms", alone, piece.keys, preferred_element_type=dtype)
    return jnp.where(piece.mask, scaled(products, scale, cap), -jnp.inf)


def _weighted(weights: Float[Array, "G B M S"], piece: SharedKeys | RowKeys, dtype: jnp.dtype) -> Array:
    if isinstance(piece, SharedKeys):
        g, b, m, s = weights.shape
        flat = jnp.einsum("gns,gsk->gnk", weights.reshape(g, b * m, s), piece.values, preferred_element_type=dtype)
        return flat.reshape(g, b, m, -1)
    return jnp.einsum("gbms,gbsk->gbmk", weights, piece.values, preferred_element_type=dtype)
