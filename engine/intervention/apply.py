"""How edits change streams, inside a compiled pass.

An edit reads one stream and writes one, which for all but transcoders is the same: `read_edit` makes a `Change` of
what it reads, `write_edits` carries all changes of a stream out where it passes. `bind` gathers what a kind of edit
needs; a kind is its own module (`features`, `vectors`, `units`, `edges`).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.changes import (
    Active,
    Change,
    EditReport,
    Values,
    acting,
    after,
    difference,
    push,
    wide,
)
from causeway.engine.intervention.edges import BoundEdge, keys_of
from causeway.engine.intervention.edits import Edit, dictionary_of, vectors_of
from causeway.engine.intervention.features import BoundDictionary, BoundFeature, Start, bind_features
from causeway.engine.intervention.sites import side_by_side
from causeway.engine.intervention.units import BoundUnit
from causeway.engine.intervention.vectors import BoundSwap, BoundVector

StreamEdit = BoundVector | BoundSwap | BoundFeature | BoundDictionary | BoundUnit
BoundEdit = StreamEdit | BoundEdge


def bind(edit: Edit, dictionary: InMemory | None = None) -> BoundEdit:
    """Gather what the slots need; `check_edits` has been passed.

    Raises:
        ValueError: the vectors, keys or dictionary that the family needs are missing.
    """
    edit = jax.tree.map(jnp.asarray, edit)
    match edit.spec.family:
        case "swap":
            return BoundSwap(edit, vectors_of(edit))
        case "vector":
            return BoundVector(edit, vectors_of(edit))
        case "unit":
            return BoundUnit(edit)
        case "edge":
            keys_of(edit)
            return BoundEdge(edit)
        case _:
            return bind_features(edit, dictionary_of(dictionary, edit.spec))


def bind_all(edits: tuple[Edit, ...], dictionary: InMemory | None) -> tuple[BoundEdit, ...]:
    """`bind` of each."""
    return tuple(bind(edit, dictionary) for edit in edits)


def read_edit(
    bound: StreamEdit, x: Float[Array, "B T *D"], layer: int | Array, positions: Int[Array, "rows T"],
    start: Start | None = None,
) -> tuple[Change, EditReport]:  # fmt: skip
    """What an edit makes of the stream it reads; all slots read it unedited and their changes add.

    Args:
        start: which features start from their values in the clean stream; None: none does.
    """
    active = acting(bound.edit, layer, positions)
    if isinstance(bound, BoundFeature | BoundDictionary) and start is not None:
        change, before = bound(active, x, layer, start.values(bound, x, layer))
    else:
        change, before = bound(active, x, layer)
    return change, _report(bound.edit, active, before)


def read_crossing(
    bound: BoundFeature | BoundDictionary, x: Float[Array, "B T *D"], layer: int | Array,
    positions: Int[Array, "rows T"], start: Start | None = None,
) -> tuple[Float[Array, "B T E"], EditReport]:  # fmt: skip
    """What the slots of this layer add to their values, which goes on to the layers above, and their report."""
    active = acting(bound.edit, layer, positions)
    before = bound.values(x, layer) if start is None else start.values(bound, x, layer)
    return difference(bound.edit, active, before), _report(bound.edit, active, before)


def _report(edit: Edit, active: Active, before: Values) -> EditReport:
    """The values before and after, where the slots act."""
    return EditReport(jnp.where(active, before, 0), jnp.where(active, after(edit, before), 0), active)


def write_crossing(
    bound: BoundFeature | BoundDictionary, carried: Float[Array, "B T E"], layer: int | Array, x: Array
) -> Change:
    """What the slots of this layer and those below write to it."""
    return Change(push(carried, bound.decoder[layer], wide(x)))


def write_edits(changes: list[Change], x: Float[Array, "B T *O"]) -> Float[Array, "B T *O"]:
    """The stream after all changes, in its own dtype and shape: what takes its place first, then what is added."""
    flat = side_by_side(x)
    out = flat.astype(jnp.promote_types(flat.dtype, jnp.result_type(*(change.value for change in changes))))
    for change in changes:
        if change.replaces is not None:
            out = jnp.where(change.replaces, change.value, out)
    added = [change.value for change in changes if change.replaces is None]
    return (out + sum(added[1:], added[0]) if added else out).astype(x.dtype).reshape(x.shape)
