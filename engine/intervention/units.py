"""Edits of units: one head's output, one query, key or value head, one neuron.

A stream of U units of width K (a neuron's is 1) is [B, T, U, K]; a slot edits one unit, whose new value is the
operation of its K numbers; where the unit is a vector, `shift` is a multiple of `Edit.vectors` [B, E, K].
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array

from causeway.engine.intervention.changes import Active, BoundEdit, Change, Values, after


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundUnit(BoundEdit):
    """An edit of units."""

    def __call__(self, active: Active, x: Array, layer: int | Array) -> tuple[Change, Values]:
        """The change, and each neuron's value before; a head has no one value, and zeros stand for it."""
        e, units = self.edit, x if x.ndim == 4 else x[..., None]
        units = units.astype(jnp.promote_types(x.dtype, jnp.float32))
        before = jnp.take_along_axis(units, e.feature[:, None, :, None], axis=2)
        unit = 1.0 if e.vectors is None else jnp.asarray(e.vectors)[:, None]
        moved = after(e, before, lambda a: a[:, None, :, None], unit) - before
        moved = jnp.where(active[..., None], moved, 0).astype(units.dtype)
        added = jax.vmap(lambda unit, change: jnp.zeros_like(units[0]).at[:, unit].add(change))(e.feature, moved)
        seen = before[..., 0] if x.ndim < 4 else jnp.zeros(active.shape, units.dtype)
        return Change(added.reshape(*x.shape[:2], -1)), seen
