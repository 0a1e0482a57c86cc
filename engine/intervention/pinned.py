"""Slots pinned to one position each: gathered, and never met at every token.

A slot is a row of one token: with B rows of E slots all kinds of edit do at [B E, 1, D] what they do elsewhere at
[B, T, D], and what they make of it goes back to the places in the stream that the slots came from.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.intervention.changes import Change, Stream
from causeway.engine.intervention.edits import Edit


def as_rows(edit: Edit) -> Edit:
    """The slots as rows of one slot, [B E, 1]."""
    return jax.tree.map(lambda a: a.reshape(-1, 1, *a.shape[2:]), edit)


def places(edit: Edit, positions: Int[Array, "rows T"], x: Stream) -> Int[Array, "B E"]:
    """Where slots that are rows act in the stream x, whose tokens are neighbours; T where none of them is theirs."""
    place = edit.start.reshape(len(x), -1) - positions[:, :1]
    return jnp.where((place >= 0) & (place < x.shape[1]), place, x.shape[1])


def tokens_at(x: Float[Array, "rows T *D"], at: Int[Array, "B E"]) -> Float[Array, "N 1 *D"]:
    """The tokens of the slots as rows, [B E, 1, ...]; all of one row of x where all rows share it."""
    return x.at[_rows(at) if len(x) == len(at) else 0, at].get(mode="clip").reshape(-1, 1, *x.shape[2:])


def placed(change: Change, at: Int[Array, "B E"] | None) -> Change:
    """A change of slots that were rows, as one of the stream they came from; any other is that already (None)."""
    if at is None:
        return change
    replaces = None if change.replaces is None else change.replaces.reshape(*at.shape, 1)
    return Change(change.value.reshape(*at.shape, -1), replaces, at)


def add(value: Float[Array, "B E D"], at: Int[Array, "B E"], x: Stream) -> Stream:
    """The stream x with the values added at their places."""
    return x.at[_rows(at), at].add(value.astype(x.dtype), mode="drop")


def put(change: Change, replaces: Bool[Array, "B t 1"], x: Stream) -> Stream:
    """The stream x with the change in its place where `replaces` is true; E values for t where the change is pinned."""
    if change.at is None:
        return jnp.where(replaces, change.value, x)
    at = jnp.where(replaces[..., 0], change.at, x.shape[1])
    return x.at[_rows(at), at].set(change.value.astype(x.dtype), mode="drop")


def _rows(at: Int[Array, "B E"]) -> Int[Array, "B 1"]:
    return jnp.arange(len(at))[:, None]
