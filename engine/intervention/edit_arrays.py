"""Rows of written edits as the arrays a pass carries: one `Edit` for each kind and stream that any row has.

Specs come in the order of their names, and slots in the order written, so that the same edits in another order of kinds
are the same program and the same bits.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import DTypeLike

from causeway.engine import scalars
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec
from causeway.engine.intervention.operations import coefficients
from causeway.engine.intervention.requests import AnyEdit, FeatureEdit, PatternEdit, SwapEdit, UnitEdit, VectorEdit
from causeway.engine.intervention.scope import intervals, slots
from causeway.engine.model.config import ModelConfig

Row = Sequence[AnyEdit]


def edit_arrays(
    rows: Sequence[Row], prompt_length: int, config: ModelConfig, dictionary: InMemory | None, mode: str = "delta",
    dtype: DTypeLike = np.float32,
) -> tuple[Edit, ...]:  # fmt: skip
    """Rows of edits as arrays [R, E] for a prompt of that length; E depends on the edits and not on the prompt.

    Args:
        dtype: of their numbers.

    Raises:
        ValueError: an unknown mode, a layer that counts from the end (`engine.intervention.named` knows how many there
            are), a scope that the prompt has not room for, or values of another shape.
    """
    if mode not in ("delta", "replace"):
        raise ValueError(f"mode: got {mode!r}; needs delta or replace")
    writes = dictionary.config.output_stream if dictionary is not None else "resid_post"
    sorted_rows = [_by_spec(row, writes, mode) for row in rows]
    specs = sorted({spec for row in sorted_rows for spec in row}, key=lambda spec: (spec.stream, spec.family))
    found = [_edit(spec, [row.get(spec, []) for row in sorted_rows], prompt_length, config) for spec in specs]
    return tuple(jax.tree.map(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, edit) for edit in found)


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
        case UnitEdit():
            return EditSpec(edit.stream, "unit")
        case PatternEdit():
            return EditSpec("attn_pattern", "edge")


@dataclasses.dataclass(frozen=True)
class _Slot:
    """Where a slot acts, [start, stop), its vector, and the keys of an edge, [first_key, stop_key)."""

    start: int
    stop: int
    vector: np.ndarray | None = None
    first_key: int = 0
    stop_key: int = 0


def _edit(spec: EditSpec, rows: list[list[AnyEdit]], length: int, config: ModelConfig) -> Edit:
    shape, unit = (len(rows), max(sum(map(_count, row)) for row in rows)), config.units(spec.stream)[1]
    layer = np.full(shape, EMPTY, np.int32)
    feature, start, stop, first_key, stop_key = (np.zeros(shape, np.int32) for _ in range(5))
    scale, shift = np.zeros(shape), np.zeros(shape)
    lower, upper = np.full(shape, -np.inf), np.full(shape, np.inf)
    width = {"vector": config.width(spec.stream), "swap": config.width(spec.stream), "unit": unit * (unit > 1)}
    vectors = np.zeros((*shape, width.get(spec.family, 0)))
    for r, row in enumerate(rows):
        placed = [(edit, slot) for edit in row for slot in _slots(edit, length, config)]
        for e, (edit, slot) in enumerate(placed):
            at = r, e
            layer[at] = scalars.integer(edit.layer, f"{type(edit).__name__}.layer")
            feature[at], start[at], stop[at] = _number(edit), slot.start, slot.stop
            first_key[at], stop_key[at] = slot.first_key, slot.stop_key
            found = coefficients(edit.operation, edit.value)
            scale[at], lower[at], upper[at] = found.scale, found.lower, found.upper
            shift[at] = found.shift if np.ndim(found.shift) == 0 else 1
            if slot.vector is not None:
                vectors[at] = slot.vector
    return Edit(
        layer, feature, start, stop, scale, shift, writer=feature, spec=spec,
        vectors=vectors if vectors.size else None,
        keys=(first_key, stop_key) if spec.family == "edge" else None,
        bounds=(lower, upper) if np.isfinite([lower, upper]).any() else None,
    )  # fmt: skip


def _number(edit: AnyEdit) -> int:
    """Which feature, unit or head is edited."""
    return getattr(edit, {FeatureEdit: "feature", UnitEdit: "unit", PatternEdit: "head"}.get(type(edit), ""), 0)


def _count(edit: AnyEdit) -> int:
    """How many slots an edit needs, whatever the prompt's length."""
    if isinstance(edit, SwapEdit) and edit.vector.ndim == 2:
        return len(edit.vector)
    return slots(edit.scope) * (slots(edit.key) if isinstance(edit, PatternEdit) else 1)


def _slots(edit: AnyEdit, length: int, config: ModelConfig) -> list[_Slot]:
    spans = intervals(edit.scope, length)
    match edit:
        case FeatureEdit():
            return [_Slot(*span) for span in spans]
        case PatternEdit():
            return [_Slot(*span, None, *keys) for span in spans for keys in intervals(edit.key, length)]
        case UnitEdit():
            vector = _unit_vector(edit, config)
            return [_Slot(*span, vector) for span in spans]
        case _:
            return _vector_slots(edit, spans, length, config.width(edit.stream))


def _unit_vector(edit: UnitEdit, config: ModelConfig) -> np.ndarray | None:
    """What `shift` is a multiple of where the unit is a vector.

    Raises:
        ValueError: a number where the operation needs a vector, or the other way round.
    """
    found, width = coefficients(edit.operation, edit.value), config.units(edit.stream)[1]
    shape, unit = np.shape(found.shift), f"a unit of {edit.stream}"
    if shape == (() if width == 1 else (width,)):
        return np.asarray(found.shift) if shape else None
    if not shape and not found.shift:  # zero, scale, inhibit, own and bounds of each number need no vector
        return None
    needed = "a number" if width == 1 else f"an array ({width},), one number for each of its own"
    raise ValueError(f"UnitEdit.value: got {scalars.shown(edit.value)} to {edit.operation} {unit}; needs {needed}")


def _vector_slots(edit: VectorEdit | SwapEdit, spans: list[tuple[int, int]], length: int, width: int) -> list[_Slot]:
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
