"""Edits along vectors, and of whole vectors of a stream."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from causeway.engine.arrays import AnyArray
from causeway.engine.intervention.changes import Active, BoundEdit, Change, Stream, Values, difference, push, wide


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundVector(BoundEdit):
    """An edit of components along vectors."""

    vectors: Float[AnyArray, "B E D"]

    def __call__(self, active: Active, x: Stream, layer: int | Array) -> tuple[Change, Values]:
        """The change, and each slot's component before."""
        v, x = self.vectors, wide(x)
        before = jnp.einsum("btd,bed->bte", x, v.astype(x.dtype)) / jnp.sum(v * v, axis=-1)[:, None]
        return Change(push(difference(self.edit, active, before), v, x)), before


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundSwap(BoundEdit):
    """An edit that puts whole vectors in the stream's place."""

    vectors: Float[AnyArray, "B E D"]

    def __call__(self, active: Active, x: Stream, layer: int | Array) -> tuple[Change, Values]:
        """What stands in the stream's place; a whole vector has no value to report."""
        x = wide(x)
        # At most one slot acts at a position, so that a sum over slots is that slot's own.
        kept = jnp.sum(jnp.where(active, self.edit.scale[:, None], 0), axis=-1, keepdims=True)
        put = jnp.where(active, self.edit.shift[:, None], 0).astype(x.dtype)
        vector = kept * x + jnp.einsum("bte,bed->btd", put, self.vectors.astype(x.dtype))
        return Change(vector.astype(x.dtype), jnp.any(active, axis=-1, keepdims=True)), jnp.zeros(active.shape, x.dtype)
