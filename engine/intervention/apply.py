"""How edits change streams, inside a compiled pass.

An edit reads one stream and writes one, which for all but transcoders is the same: `read_edit` makes a `Change` of
what it reads, `write_edits` carries all changes of a stream out where it passes. `bind` gathers what a kind of edit
needs; a kind is its own module (`features`, `vectors`, `units`, `edges`). How slots of one position are met is in
`pinned`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.changes import (
    Active,
    Change,
    EditReport,
    Stream,
    Values,
    acting,
    after,
    push,
    wide,
)
from causeway.engine.intervention.edges import BoundEdge, keys_of
from causeway.engine.intervention.edits import Edit, dictionary_of, vectors_of
from causeway.engine.intervention.features import BoundDictionary, BoundFeature, Start, bind_features
from causeway.engine.intervention.pinned import add, as_rows, placed, places, put, tokens_at
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
    edit = as_rows(edit) if edit.spec.pinned else edit
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
    tokens, active, at = _met(bound.edit, x, layer, positions)
    if not isinstance(bound, BoundFeature | BoundDictionary):
        change, before = bound(active, tokens, layer)
    elif start is None and at is None:
        change, before = bound(active, x, layer)
    else:
        change, before = bound(active, tokens, layer, _before(bound, x, layer, at, start), _source(tokens, at, start))
    return placed(change, at), _report(bound.edit, active, before, at)


def _met(
    edit: Edit, x: Float[Array, "B T *D"], layer: int | Array, positions: Int[Array, "rows T"]
) -> tuple[Stream, Active, Int[Array, "B E"] | None]:
    """The tokens that an edit meets, and where it acts; of pinned slots their own tokens, and their places in x."""
    if not edit.spec.pinned:
        return x, acting(edit, layer, positions), None
    at = places(edit, positions, x)
    active = acting(edit, layer, jnp.asarray(edit.start)) & (at < x.shape[1]).reshape(-1, 1, 1)
    return tokens_at(x, at), active, at


def _before(
    bound: BoundFeature | BoundDictionary, x: Array, layer: int | Array, at: Array | None, start: Start | None
) -> Values:
    """What features start from."""
    return bound.values(x, layer, at) if start is None else start.values(bound, x, layer, at)


def _source(tokens: Stream, at: Int[Array, "_ S"] | None, start: Start | None) -> Stream:
    """The tokens that values are read from. Where all start from the clean ones, those of the pass need not be made."""
    if start is None or start.slots is not None:
        return tokens
    return start.clean if at is None else tokens_at(start.clean, at)


def read_crossing(
    bound: BoundFeature | BoundDictionary, x: Float[Array, "B T *D"], layer: int | Array,
    positions: Int[Array, "rows T"], start: Start | None = None,
) -> tuple[Float[Array, "B T E"], EditReport]:  # fmt: skip
    """What the slots of this layer add to their values, which goes on to the layers above, and their report."""
    tokens, active, at = _met(bound.edit, x, layer, positions)
    before = _before(bound, x, layer, at, start)
    return bound.moved(active, _source(tokens, at, start), before), _report(bound.edit, active, before, at)


def _report(edit: Edit, active: Active, before: Values, at: Int[Array, "_ S"] | None) -> EditReport:
    """The values before and after, where the slots act; of pinned slots, which were rows, [B, 1, E]."""
    report = EditReport(jnp.where(active, before, 0), jnp.where(active, after(edit, before), 0), active)
    return report if at is None else jax.tree.map(lambda a: a.reshape(at.shape[0], 1, -1), report)


def write_crossing(
    bound: BoundFeature | BoundDictionary, carried: Float[Array, "rows t E"], layer: int | Array, x: Array,
    positions: Int[Array, "_ T"],
) -> Change:  # fmt: skip
    """What the slots of this layer and those below write to it."""
    at = places(bound.edit, positions, x) if bound.edit.spec.pinned else None
    return placed(Change(push(carried, bound.decoder[layer], wide(x))), at)


def write_edits(changes: list[Change], x: Float[Array, "B T *O"]) -> Float[Array, "B T *O"]:
    """The stream after all changes, in its own dtype and shape: what takes its place first, then what is added."""
    flat = side_by_side(x)
    out = flat.astype(jnp.promote_types(flat.dtype, jnp.result_type(*(change.value for change in changes))))
    for change in changes:
        if change.replaces is not None:
            out = put(change, change.replaces, out)
    added = [change.value for change in changes if change.replaces is None and change.at is None]
    out = out + sum(added[1:], added[0]) if added else out
    for change in changes:
        if change.replaces is None and change.at is not None:
            out = add(change.value, change.at, out)
    return out.astype(x.dtype).reshape(x.shape)
