"""Interventions and recordings as a person writes them, turned into the arrays a pass carries.

    FeatureEdit(layer=12, feature=345, value=8.0)                      set a dictionary feature
    FeatureEdit(12, 345, operation="zero", scope="last_prompt")        ablate it at the last prompt token
    VectorEdit(12, v, value=2.0, operation="add")                      steer along a vector
    SwapEdit(12, h, scope="positions:4")                               put another run's stream there

A row of a batch is a list of edits of one kind; rows may differ in everything else. Operations on the present value f:
set v, zero 0, add f + v, scale v f, inhibit -v f, own f (a no-op in delta form).
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np

from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec, Family
from causeway.engine.intervention.scope import intervals, slots
from causeway.engine.intervention.taps import BoundTap, Reader, TapSpec, bind_tap

Operation = Literal["set", "zero", "add", "scale", "inhibit", "own"]


def coefficients(operation: Operation, value: float) -> tuple[float, float]:
    """(scale, shift) of an operation.

    Raises:
        ValueError: unknown operation.
    """
    table = {
        "set": (0.0, value), "zero": (0.0, 0.0), "add": (1.0, value), "scale": (value, 0.0), "inhibit": (-value, 0.0),
        "own": (1.0, 0.0),
    }  # fmt: skip
    if operation not in table:
        raise ValueError(f"operation: got {operation!r}; needs one of {', '.join(table)}")
    return table[operation]


@dataclasses.dataclass(frozen=True)
class FeatureEdit:
    """A dictionary feature's value at the tokens of a scope."""

    layer: int
    feature: int
    value: float = 0.0
    operation: Operation = "set"
    scope: str = "all"


@dataclasses.dataclass(frozen=True, eq=False)
class VectorEdit:
    """The component of a stream along a vector [D], in units of the vector."""

    layer: int
    vector: np.ndarray
    value: float = 0.0
    operation: Operation = "set"
    scope: str = "all"
    stream: str = "resid_post"


@dataclasses.dataclass(frozen=True, eq=False)
class SwapEdit:
    """A whole stream vector [D], taken from another run."""

    layer: int
    vector: np.ndarray
    scope: str = "all"
    stream: str = "resid_post"

    value: float = dataclasses.field(default=1.0, init=False)
    operation: Operation = dataclasses.field(default="set", init=False)


AnyEdit = FeatureEdit | VectorEdit | SwapEdit
_FAMILY: dict[type, Family] = {FeatureEdit: "feature", VectorEdit: "vector", SwapEdit: "swap"}


def edit_spec(rows: Sequence[Sequence[AnyEdit]], dictionary: Dictionary | None, mode: str = "delta") -> EditSpec | None:
    """The static part of rows of edits; None where no row has any.

    Raises:
        ValueError: rows mix kinds or streams, or an unknown mode.
    """
    edits = [edit for row in rows for edit in row]
    if mode not in ("delta", "replace"):
        raise ValueError(f"mode: got {mode!r}; needs delta or replace")
    if not edits:
        return None
    kinds = {type(edit) for edit in edits}
    default = dictionary.config.output_stream if dictionary is not None else "resid_post"
    streams = {getattr(edit, "stream", default) for edit in edits}
    if len(kinds) > 1 or len(streams) > 1:
        names = sorted(kind.__name__ for kind in kinds)
        raise ValueError(f"edits: rows mix {names} on {sorted(streams)}; use one kind on one stream a call")
    family = _FAMILY[kinds.pop()]
    width = max(sum(slots(edit.scope) for edit in row) for row in rows)
    return EditSpec(streams.pop(), "replace" if mode == "replace" and family == "feature" else family, width)


def edit_arrays(spec: EditSpec, rows: Sequence[Sequence[AnyEdit]], prompt_length: int, width: int) -> Edit:
    """Rows of edits as arrays [R, E] for a prompt of that length; `width` is the stream's D.

    Raises:
        ValueError: an unknown operation, a scope that the prompt has not room for, or a vector of another width.
    """
    shape = (len(rows), spec.slots)
    ids = {name: np.zeros(shape, np.int32) for name in ("feature", "start", "stop")}
    numbers = {name: np.zeros(shape, np.float32) for name in ("scale", "shift")}
    layer = np.full(shape, EMPTY, np.int32)
    vectors = np.zeros((*shape, width), np.float32) if spec.family in ("vector", "swap") else None
    for r, row in enumerate(rows):
        placed = [(edit, span) for edit in row for span in intervals(edit.scope, prompt_length)]
        for e, (edit, (start, stop)) in enumerate(placed):
            layer[r, e], ids["start"][r, e], ids["stop"][r, e] = edit.layer, start, stop
            numbers["scale"][r, e], numbers["shift"][r, e] = coefficients(edit.operation, edit.value)
            if isinstance(edit, FeatureEdit):
                ids["feature"][r, e] = edit.feature
            elif vectors is not None:
                vectors[r, e] = _vector(edit, width)
    return Edit(layer=layer, **ids, **numbers, writer=ids["feature"], vectors=vectors)


def _vector(edit: VectorEdit | SwapEdit, width: int) -> np.ndarray:
    shape = np.shape(edit.vector)
    if shape != (width,):
        raise ValueError(f"vector: got shape {shape} for {edit.stream} at layer {edit.layer}; needs ({width},)")
    return edit.vector


@dataclasses.dataclass(frozen=True, eq=False)
class Tap:
    """A recording: a stream read at some layers (default: all, or all that have a dictionary).

    reader: raw, all, top_k (`width` = k), selected (`ids` [P, S]), project (`vectors` [P, S, D]).
    """

    stream: str = "resid_post"
    reader: Reader = "raw"
    layers: tuple[int, ...] | None = None
    width: int = 0
    ids: np.ndarray | None = None
    vectors: np.ndarray | None = None

    def bind(self, dictionary: Dictionary | None, num_layers: int) -> BoundTap:
        """With its arrays on the device.

        Raises:
            ValueError: see `bind_tap`.
        """
        layers = self.layers
        if layers is None and self.stream in ("final_norm", "logits"):
            layers = (num_layers,)
        elif layers is None:
            encodes = self.reader in ("all", "selected", "top_k") and dictionary is not None
            layers = dictionary.config.layers if encodes and dictionary else tuple(range(num_layers))
        given = next((a for a in (self.ids, self.vectors) if a is not None), None)
        width = self.width if given is None else np.shape(given)[1]
        ids, vectors = (None if a is None else jnp.asarray(a) for a in (self.ids, self.vectors))
        return bind_tap(TapSpec(self.stream, self.reader, tuple(layers), width), dictionary, ids, vectors)
