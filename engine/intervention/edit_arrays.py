"""Rows of written edits as the arrays a pass carries: one `Edit` for each kind and stream that any row has.

Specs come in the order of their names, and slots in the order written, so that the same edits in another order of kinds
are the same program and the same bits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from causeway.engine import scalars
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec
from causeway.engine.intervention.operations import coefficients
from causeway.engine.intervention.requests import AnyEdit, FeatureEdit, SwapEdit, VectorEdit
from causeway.engine.intervention.scope import intervals, slots
from causeway.engine.model.config import ModelConfig

Row = Sequence[AnyEdit]


def edit_arrays(
    rows: Sequence[Row], prompt_length: int, config: ModelConfig, dictionary: Dictionary | None, mode: str = "delta"
) -> tuple[Edit, ...]:
    """Rows of edits as arrays [R, E] for a prompt of that length; E depends on the edits and not on the prompt.

    Raises:
        ValueError: an unknown mode, a layer that counts from the end (`engine.intervention.named` knows how many there
            are), a scope that the prompt has not room for, or vectors of another shape.
    """
    if mode not in ("delta", "replace"):
        raise ValueError(f"mode: got {mode!r}; needs delta or replace")
    writes = dictionary.config.output_stream if dictionary is not None else "resid_post"
    sorted_rows = [_by_spec(row, writes, mode) for row in rows]
    specs = sorted({spec for row in sorted_rows for spec in row}, key=lambda spec: (spec.stream, spec.family))
    return tuple(_edit(spec, [row.get(spec, []) for row in sorted_rows], prompt_length, config) for spec in specs)


def _by_spec(row: Row, writes: str, mode: str) -> dict[EditSpec, list[AnyEdit]]:
    found: dict[EditSpec, list[AnyEdit]] = {}
    for edit in row:
        found.setdefault(_spec(edit, writes, mode), []).append(edit)
    return found


def _spec(edit: AnyEdit, writes: str, mode: str) -> EditSpec:
    match edit:
        case FeatureEdit():
            return EditSpec(writes, "replace" if mode == "replace" else "feature")
        case VectorEdit():
            return EditSpec(edit.stream, "vector")
        case SwapEdit():
            return EditSpec(edit.stream, "swap")


class _Slot(NamedTuple):
    """Where a slot acts, [start, stop), and the vector it is edited with."""

    start: int
    stop: int
    vector: np.ndarray | None = None


def _edit(spec: EditSpec, rows: list[list[AnyEdit]], length: int, config: ModelConfig) -> Edit:
    shape = (len(rows), max(sum(map(_count, row)) for row in rows))
    ids = {name: np.zeros(shape, np.int32) for name in ("feature", "start", "stop")}
    numbers = {name: np.zeros(shape, np.float32) for name in ("scale", "shift")}
    bounds = np.full(shape, -np.inf, np.float32), np.full(shape, np.inf, np.float32)
    layer = np.full(shape, EMPTY, np.int32)
    width = config.width(spec.stream)
    vectors = np.zeros((*shape, width), np.float32) if spec.family in ("vector", "swap") else None
    for r, row in enumerate(rows):
        placed = [(edit, slot) for edit in row for slot in _slots(edit, length, width)]
        for e, (edit, slot) in enumerate(placed):
            layer[r, e] = scalars.integer(edit.layer, f"{type(edit).__name__}.layer")
            ids["start"][r, e], ids["stop"][r, e] = slot.start, slot.stop
            found = coefficients(edit.operation, edit.value)
            numbers["scale"][r, e], numbers["shift"][r, e], bounds[0][r, e], bounds[1][r, e] = found
            if isinstance(edit, FeatureEdit):
                ids["feature"][r, e] = edit.feature
            if vectors is not None:
                vectors[r, e] = slot.vector
    limits = bounds if np.isfinite(bounds).any() else None
    return Edit(layer=layer, **ids, **numbers, writer=ids["feature"], vectors=vectors, bounds=limits, spec=spec)


def _count(edit: AnyEdit) -> int:
    """How many slots an edit needs, whatever the prompt's length."""
    if isinstance(edit, SwapEdit) and edit.vector.ndim == 2:
        return len(edit.vector)
    return slots(edit.scope)


def _slots(edit: AnyEdit, length: int, width: int) -> list[_Slot]:
    spans = intervals(edit.scope, length)
    if isinstance(edit, FeatureEdit):
        return [_Slot(start, stop) for start, stop in spans]
    if np.shape(edit.vector) == (width,):
        return [_Slot(start, stop, edit.vector) for start, stop in spans]
    positions = [p for start, stop in spans for p in range(start, min(stop, length))]
    several = isinstance(edit, SwapEdit) and bool(positions)
    if several and np.shape(edit.vector) == (length, width):
        return [_Slot(p, p + 1, edit.vector[p]) for p in positions]
    if several and np.shape(edit.vector) == (len(positions), width):
        return [_Slot(p, p + 1, vector) for p, vector in zip(positions, edit.vector, strict=True)]
    more = f", or ({length}, {width}) or ({len(positions)}, {width}): one a token of the prompt, or of the scope"
    raise ValueError(
        f"vector: got shape {np.shape(edit.vector)} for {edit.stream} at layer {edit.layer}; needs ({width},)"
        f"{more if several else ''}"
    )
