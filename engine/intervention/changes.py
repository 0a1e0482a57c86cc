"""What an edit makes of the stream it writes, and what it tells of it: the parts that all kinds of edit share.

Streams are [B, T, D], heads [B, T, H, K] laid side by side; positions are [B, T], or [1, T] when the rows share them.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.operations import new_value
from causeway.engine.intervention.sites import side_by_side

Stream = Float[Array, "B T *D"]
Values = Float[Array, "B T E"]
Read = Float[Array, "rows t slots"]  # the values of a stream [B, T, D]: [B, T, E], or [B E, 1, 1] of pinned slots
Active = Bool[Array, "B T E"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EditReport:
    """What an edit did at each token, all [B, T, E], of pinned slots [B, 1, E]; zeros where it did not act.

    before: the edited quantity in the unedited stream. after: the value it was set to. applied: whether it acted.
    """

    before: Float[AnyArray, "B T E"]
    after: Float[AnyArray, "B T E"]
    applied: Bool[AnyArray, "B T E"]

    def __add__(self, other: "EditReport") -> "EditReport":
        """Reports of two layers: a slot acts in one layer alone."""
        return EditReport(self.before + other.before, self.after + other.after, self.applied | other.applied)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Change:
    """What an edit makes of the stream it writes: `value` is added, or stands in its place where `replaces` is true.

    at: of pinned slots, whose values are [B, E, O]: their places in the stream, T for none.
    """

    value: Float[Array, "B T O"]
    replaces: Bool[Array, "B T 1"] | None = None
    at: Int[Array, "B E"] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundEdit:
    """An edit with what it needs to act on the stream that its specification names."""

    edit: Edit

    @property
    def reads(self) -> str:
        """The stream read."""
        return self.edit.spec.stream


def acting(edit: Edit, layer: int | Array, positions: Int[Array, "rows T"]) -> Active:
    """Which slots act at which tokens of a layer."""
    at = positions[..., None]
    return (edit.layer == layer)[:, None] & (edit.start[:, None] <= at) & (at < edit.stop[:, None])


def after(
    edit: Edit,
    before: Array,
    place: Callable[[AnyArray], AnyArray] = lambda a: a[:, None],
    unit: Array | float = 1.0,
) -> Array:
    """The value of each slot after its operation.

    Args:
        before: [B, T, E], or of another shape in which `place` puts the numbers of the slots, [B, E]. unit: what
            `shift` is a multiple of.
    """
    bounds = None if edit.bounds is None else (place(edit.bounds[0]), place(edit.bounds[1]))
    return new_value(before, place(edit.scale), place(edit.shift) * unit, bounds)


def difference(edit: Edit, active: Active, before: Values) -> Values:
    """What each slot adds to its value where it acts."""
    return jnp.where(active, after(edit, before) - before, 0)


def push(change: Values, rows: Float[AnyArray, "B E D"], x: Array) -> Stream:
    """What the slots' changes, along their rows, add to a stream, in the dtype of x."""
    return jnp.einsum("bte,bed->btd", change.astype(x.dtype), rows.astype(x.dtype))


def wide(x: Array) -> Stream:
    """A stream side by side, a 16-bit one in float32: values are never computed in 16 bits, in edits as in taps."""
    return side_by_side(x).astype(jnp.promote_types(x.dtype, jnp.float32))
