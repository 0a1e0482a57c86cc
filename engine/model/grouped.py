"""Queries and keys of single tokens gathered by the heads that share them, and what observers make of their patterns.

Shapes: B rows, A queries a row and head, H query heads, G groups of them (each shares a key and value head), K a head's
width, M = A H / G queries a group, S keys of a piece.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.instruments import Observer
from causeway.engine.model.attention import RowKeys, SharedKeys
from causeway.engine.model.config import ModelConfig


def edges_of(
    observer: Observer, pieces: tuple[SharedKeys | RowKeys, ...], keys: tuple[Int[Array, " S"], ...],
    config: ModelConfig,
) -> Callable[[Float[Array, "G B M S"], int], Float[Array, "G B M S"]] | None:  # fmt: skip
    """Meets the weights of each piece, and last of the tokens' own keys; None where nothing is done to patterns."""
    if not observer.meets_patterns:
        return None
    groups, queries = config.num_kv_heads, observer.positions.shape[-1]

    def change(weights: Float[Array, "G B M S"], piece: int) -> Float[Array, "G B M S"]:
        own_key = piece == len(pieces)
        at = observer.positions[0][:, None] if own_key else keys[piece]
        visible = jnp.ones((1, 1), bool) if own_key else jnp.atleast_2d(pieces[piece].mask)
        # A mask of [M, S] has a row for every head of a group; they are alike.
        visible = visible[:: len(visible) // queries or 1]
        shape = (weights.shape[1], queries, config.num_heads, weights.shape[-1])
        pattern = observer("attn_pattern", jnp.moveaxis(by_row(weights, shape), 2, 1), Edges(at, visible, piece))
        return by_group(jnp.moveaxis(pattern, 1, 2), groups)

    return change


def by_group(q: Float[Array, "B A H K"], groups: int) -> Float[Array, "G B M K"]:
    """Queries gathered by the key/value head they share: M = A * H / G."""
    b, a, h, k = q.shape
    return jnp.einsum("bagrk->gbark", q.reshape(b, a, groups, h // groups, k)).reshape(groups, b, a * h // groups, k)


def own(k: Float[Array, "B A G K"], q: Float[Array, "B A H K"]) -> Float[Array, "G B M K"]:
    """Each query's own key (or value): its stream's, its group's."""
    b, a, g, width = k.shape
    repeat = q.shape[2] // g
    moved = jnp.einsum("bagk->gbak", k)[:, :, :, None]
    return jnp.broadcast_to(moved, (g, b, a, repeat, width)).reshape(g, b, a * repeat, width)


def by_row(z: Float[Array, "G B M K"], shape: tuple[int, ...]) -> Float[Array, "B A H K"]:
    """The inverse of `by_group`; `shape` is the queries' own."""
    g, b, _, k = z.shape
    return jnp.einsum("gbark->bagrk", z.reshape(g, b, shape[1], -1, k)).reshape(shape)
