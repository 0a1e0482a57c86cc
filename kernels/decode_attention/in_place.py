"""Attention over pieces in plain XLA for accelerators, where what costs is what kernels leave in memory for others.

Rows' own keys come first, in one softmax with the token's own key, as sums of products: for library products XLA pads
the M queries of a group to 8, and writes queries, scores and sums at that size. Then they stand for one more key of the
shared ones,

    score  l = log sum_s exp(score_s)          value  z = sum_s exp(score_s - l) v_s          over rows' own keys

so that the softmax over shared keys, the large one, is a plain softmax of one array: XLA reads its scores once and
writes its weights once, where a peak or a sum that others ask for too is one more reading.

Cost: all keys and values once; scores of shared keys are written and read once in the dtype of sums, and their weights
in that of values.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from causeway.kernels.decode_attention.pieces import Pieces, RowKeys, SharedKeys
from causeway.kernels.decode_attention.scores import scaled

# Library products of 16 bits take multiples of so many; what is less XLA pads.
ALIGNED = 8
# Sums of fewer than 32 are part of the kernel that needs them; longer ones XLA begins by transposing a copy of values.
SUMMED = 16

Score = Callable[[Array], Array]


def attend(
    q: Float[Array, "G B M K"],
    own: tuple[Float[Array, "G B M K"], Float[Array, "G B M K"]],
    pieces: Pieces,
    scale: float,
    cap: float,
    dtype: jnp.dtype,
) -> Float[Array, "G B M K"]:
    """Head outputs."""
    score = functools.partial(scaled, scale=scale, cap=cap)
    z, level = _own_keys(q, own, [piece for piece in pieces if isinstance(piece, RowKeys)], score, dtype)
    shared = [piece for piece in pieces if isinstance(piece, SharedKeys)]
    return (_with_shared(q, _side_by_side(shared), z, level, score) if shared else z).astype(q.dtype)


def _own_keys(
    q: Float[Array, "G B M K"], own: tuple[Array, Array], pieces: list[RowKeys], score: Score, dtype: jnp.dtype
) -> tuple[Float[Array, "G B M K"], Float[Array, "G B M"]]:
    """The mean value over rows' own keys by their softmax, and the logarithm of its sum."""
    key, value = (a.astype(dtype) for a in own)
    own_score = score(jnp.sum(q.astype(dtype) * key, axis=-1))
    scores = [_scores(q, piece, score, dtype) for piece in pieces if piece.mask.shape[-1]]
    peak = functools.reduce(jnp.maximum, (jnp.max(s, axis=-1) for s in scores), own_score)
    own_weight = jnp.exp(own_score - peak)
    weights = [jnp.exp(s - peak[..., None]) for s in scores]
    total = sum((jnp.sum(w, axis=-1) for w in weights), own_weight)
    # Else XLA cuts the weights for what is next and sums them in a kernel of its own, from the scores once more.
    weights, total = jax.lax.optimization_barrier((weights, total))
    values = [piece.values for piece in pieces if piece.mask.shape[-1]]
    z = own_weight[..., None] * value + _weighted(weights, values, dtype)
    return z / total[..., None], peak + jnp.log(total)


def _scores(q: Float[Array, "G B M K"], piece: RowKeys, score: Score, dtype: jnp.dtype) -> Float[Array, "G B M S"]:
    products = jnp.sum(q[:, :, :, None].astype(dtype) * piece.keys[:, :, None].astype(dtype), axis=-1)
    return jnp.where(piece.mask, score(products), -jnp.inf)


def _weighted(
    weights: list[Float[Array, "G B M S"]], values: list[Float[Array, "G B S K"]], dtype: jnp.dtype
) -> Float[Array, "G B M K"] | float:
    """Weighted sums of all values, of which XLA makes one kernel with what is done to them next."""
    parts: dict[int, Array] = {}
    for w, v in zip(weights, values, strict=True):
        for first in range(0, w.shape[-1], SUMMED):
            here = slice(first, first + SUMMED)
            part = w[..., here, None] * v[:, :, None, here].astype(dtype)
            length = part.shape[3]
            parts[length] = parts[length] + part if length in parts else part
    return sum(jnp.sum(part, axis=3) for part in parts.values())


def _side_by_side(pieces: list[SharedKeys]) -> SharedKeys:
    """Several shared pieces as one."""
    if len(pieces) == 1:
        return pieces[0]
    masks = jnp.broadcast_arrays(*(jnp.zeros(piece.mask.shape[:-1]) for piece in pieces))
    masks = [jnp.broadcast_to(p.mask, (*m.shape, p.mask.shape[-1])) for p, m in zip(pieces, masks, strict=True)]
    keys, values = [piece.keys for piece in pieces], [piece.values for piece in pieces]
    return SharedKeys(jnp.concatenate(keys, 2), jnp.concatenate(values, 1), jnp.concatenate(masks, -1))


def _with_shared(
    q: Float[Array, "G B M K"], piece: SharedKeys, z: Float[Array, "G B M K"], level: Float[Array, "G B M"],
    score: Score,
) -> Float[Array, "G B M K"]:  # fmt: skip
    """Outputs over shared keys and one more, of score `level` and value `z`."""
    (g, b, m, width), dtype, tokens = q.shape, z.dtype, piece.mask.shape[-1]
    # Its place is the first of those that make the products' sizes even.
    more = ALIGNED - tokens % ALIGNED
    keys, values = jnp.pad(piece.keys, ((0, 0), (0, 0), (0, more))), jnp.pad(piece.values, ((0, 0), (0, more), (0, 0)))
    mask = jnp.pad(piece.mask, (*((0, 0),) * (piece.mask.ndim - 1), (0, more)))
    products = jnp.einsum("gnk,gks->gns", q.reshape(g, b * m, width), keys, preferred_element_type=dtype)
    scores = jnp.where(mask, score(products).reshape(g, b, m, -1), -jnp.inf)
    scores = jnp.where(jnp.arange(tokens + more) == tokens, level[..., None], scores)
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    narrow = values.dtype.itemsize == 2 and dtype == jnp.float32
    found = jnp.einsum(
        "gns,gsk->gnk", weights.reshape(g, b * m, -1), values, preferred_element_type=values.dtype if narrow else dtype
    )
    return found.reshape(q.shape).astype(dtype) + weights[..., tokens, None].astype(dtype) * z
