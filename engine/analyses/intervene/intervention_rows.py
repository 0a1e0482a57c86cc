"""Interventions as data: rows of edits, each one intervention list of a prompt.

Features are edited at single tokens: an edit of several becomes a slot for each. A new value that is within the
roundings of a recorded activation from the present one changes nothing. Two slots of one row on one feature and token
are refused. Shapes: N slots, R rows.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from causeway.engine import scalars
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import Edit, EditSpec
from causeway.engine.intervention.named import named_edits
from causeway.engine.intervention.requests import AnyEdit, FeatureEdit, PatternEdit
from causeway.engine.intervention.rows import Rows
from causeway.engine.intervention.scope import intervals
from causeway.engine.model.handle import Model

# A value this many roundings of the pre-activation from the present one is the present one: numbers recorded by
# another program differ by that.
ROUNDINGS = 64

AnyIntervention = AnyEdit | tuple[int, int | slice, int, float]


def written_rows(
    rows: Sequence[Sequence[AnyIntervention]], length: int, model: Model, transcoders: Transcoders
) -> Rows:
    """Rows as a person writes them, for a prompt of `length` tokens.

    Raises:
        ValueError: no row, a row without edits, a layer or position that is not there, or what edits refuse.
    """
    if not len(rows):
        raise ValueError("edits: none; give at least one edit or (layer, position, feature, value)")
    listed = [_row(number, row, length, model) for number, row in enumerate(rows)]
    edits = edit_arrays(listed, length, model.config, transcoders, dtype=np.float64)
    return Rows.of(edits, len(rows)).pinned(length, ROUNDINGS)


def _row(number: int, row: Sequence[AnyIntervention], length: int, model: Model) -> list[AnyEdit]:
    if not len(row):
        raise ValueError(f"edits: row {number} is empty; give at least one edit or (layer, position, feature, value)")
    edits = named_edits([_feature_edit(one, length) if isinstance(one, tuple | list) else one for one in row], model)
    for edit in edits:
        for scope in (edit.scope, edit.key) if isinstance(edit, PatternEdit) else (edit.scope,):
            if any(start >= length for start, _ in intervals(scope, length)):
                raise ValueError(f"edits: scope {scope!r} holds no token of the prompt, which is all that is run")
    return edits


def feature_rows(
    transcoders: Transcoders, places: Int[np.ndarray, "N 3"], numbers: Iterable[Any], row: np.ndarray | None = None
) -> Rows:
    """Rows that edit features at places (layer, position, feature).

    Args:
        numbers: the `Coefficients`, of all or [N] each. row: of each place, ascending [N]; default: each has its own.
    """
    layer, position, feature = np.reshape(places, (-1, 3)).T[..., None].astype(np.int32)
    scale, shift, *bounds = (np.broadcast_to(np.reshape(a, (-1, 1)), layer.shape).astype(np.float64) for a in numbers)
    spec = EditSpec(transcoders.config.output_stream, pinned=True, roundings=ROUNDINGS)
    owner = np.arange(len(layer)) if row is None else row
    edit = Edit(layer, feature, position, position + 1, scale, shift, feature, bounds=(bounds[0], bounds[1]), spec=spec)
    return Rows((edit,), (owner,), int(owner[-1]) + 1 if len(owner) else 0)


def listed_edits(edits: Any) -> Sequence[Any]:
    """A list of edits, of one given alone too.

    Raises:
        ValueError: no list.
    """
    if isinstance(edits, AnyEdit):
        return [edits]
    if not isinstance(edits, list | tuple):
        raise ValueError(
            f"edits: got {scalars.shown(edits)}; needs a list of edits or (layer, position, feature, value)"
        )
    return edits


def _feature_edit(entry: Sequence[Any], length: int) -> FeatureEdit:
    """A tuple as an edit; a slice is the list of its positions.

    Raises:
        ValueError: another length, a slice without positions, or what `FeatureEdit` refuses.
    """
    if len(entry) != 4:
        raise ValueError(f"edits: got {entry!r}; needs FeatureEdit or (layer, position, feature, value)")
    layer, position, feature, value = entry
    scope = list(range(length)[position]) if isinstance(position, slice) else position
    if isinstance(position, slice) and not scope:
        raise ValueError(f"edits: {position} holds no position of a prompt of {length} tokens")
    return FeatureEdit(layer, feature, value, scope=scope)
