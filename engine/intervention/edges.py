"""Edits of edges of attention patterns: how much one token attends to another in one head.

A pattern is [B, H, T, S]: its queries stand at `positions`, its keys at `Edges.keys`. A slot edits the weights of its
head from the queries in [start, stop) to the keys in `Edit.keys`; the others stay as they are, so the pattern no longer
sums to 1. Edges that the model does not have (to later tokens, beyond a window) are left alone.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.intervention.changes import BoundEdit, EditReport, acting, after
from causeway.engine.intervention.edits import Edit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundEdge(BoundEdit):
    """An edit of edges."""


class Edges(NamedTuple):
    """Where the keys of a pattern stand, and which of them its queries see; and which piece of a pattern it is."""

    keys: Int[Array, "#T S"]
    visible: Bool[Array, "#T S"]
    piece: int | None = None


def edit_edges(
    bound: BoundEdge,
    pattern: Float[Array, "B H T S"],
    layer: int | Array,
    positions: Int[Array, "rows T"],
    edges: Edges,
) -> tuple[Float[Array, "B H T S"], EditReport]:
    """What the edit adds to the pattern, and its report: the weights summed over each slot's keys, [B, T, E]."""
    e = bound.edit
    first, stop = (a[..., None, None] for a in keys_of(e))
    active = acting(e, layer, positions)
    on = (first <= edges.keys) & (edges.keys < stop) & edges.visible & jnp.moveaxis(active, -1, 1)[..., None]
    before = jnp.take_along_axis(pattern, e.feature[..., None, None], axis=1)
    now = after(e, before, lambda a: a[..., None, None]).astype(before.dtype)
    moved = jnp.where(on, now - before, 0)
    added = jax.vmap(lambda head, change: jnp.zeros_like(pattern[0]).at[head].add(change))(e.feature, moved)
    was, made = (jnp.moveaxis(jnp.where(on, a, 0).sum(-1), 1, -1) for a in (before, now))
    return added, EditReport(was, made, jnp.any(on, axis=-1).swapaxes(1, 2))


def keys_of(edit: Edit) -> tuple[AnyArray, AnyArray]:
    """[start, stop) of the keys of an edit of edges.

    Raises:
        ValueError: the edit has none.
    """
    if edit.keys is None:
        raise ValueError("edit.keys: missing; the edge family needs the first key and the one after the last [B, E]")
    return edit.keys
