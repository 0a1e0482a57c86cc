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
from typing import Any, Literal, cast

import jax.numpy as jnp
import numpy as np

from causeway.engine import scalars
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec, Family
from causeway.engine.intervention.scope import Scope, intervals, scope_text, slots
from causeway.engine.intervention.sites import ONCE
from causeway.engine.intervention.taps import READERS, BoundTap, Reader, TapSpec, bind_tap

Operation = Literal["set", "zero", "add", "scale", "inhibit", "own"]
# Values live in 32-bit arrays on the device.
FLOAT32_MAX = float(np.finfo(np.float32).max)


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
    """A dictionary feature's value at the tokens of a scope.

    Attributes:
        layer: of the model; negative ones count from the end, -1 being the last.
        feature: its id in the layer's dictionary.
        value: in the dictionary's own scale; what it means is the operation's.
        operation: of the present value f: set (to value), zero, add (f + value), scale (value f), inhibit (-value f),
            own (f itself, which changes nothing in delta form).
        scope: the tokens edited: all (of the prompt and generated), last_prompt, decode (generated ones),
            last_prompt_and_decode, positions:2:5,-1 (from 2 to 4, and the prompt's last), or a position or a list of
            them.

    Raises:
        ValueError: a number that is not one, an unknown operation or scope.
    """

    layer: int
    feature: int
    value: float = 0.0
    operation: Operation = "set"
    scope: Scope = "all"

    def __post_init__(self):
        _read_common(self)
        object.__setattr__(self, "feature", scalars.integer(self.feature, "FeatureEdit.feature"))


@dataclasses.dataclass(frozen=True, eq=False)
class VectorEdit:
    """The component of a stream along a vector.

    Attributes:
        layer, operation, scope: see `FeatureEdit`; the present value is the component, in units of the vector.
        vector: [D].
        stream: where; see `Tap`. A name with a layer has to name the same one.

    Raises:
        ValueError: see `FeatureEdit`; or a vector that holds no finite numbers.
    """

    layer: int
    vector: np.ndarray
    value: float = 0.0
    operation: Operation = "set"
    scope: Scope = "all"
    stream: str = "resid_post"

    def __post_init__(self):
        _read_common(self)
        object.__setattr__(self, "vector", _finite(self.vector, "VectorEdit.vector"))


@dataclasses.dataclass(frozen=True, eq=False)
class SwapEdit:
    """A whole stream vector, taken from another run.

    Attributes:
        layer, scope: see `FeatureEdit`. stream: see `Tap`.
        vector: [D], put at every token of the scope; or [N, D], a vector a position, put at the prompt's tokens in the
            scope alone: N is the number of the prompt's tokens (each has its own), or of those in the scope.

    Raises:
        ValueError: see `VectorEdit`.
    """

    layer: int
    vector: np.ndarray
    scope: Scope = "all"
    stream: str = "resid_post"

    value: float = dataclasses.field(default=1.0, init=False)
    operation: Operation = dataclasses.field(default="set", init=False)

    def __post_init__(self):
        _read_common(self)
        object.__setattr__(self, "vector", _finite(self.vector, "SwapEdit.vector"))


def _read_common(edit: "AnyEdit") -> None:
    """The fields of all kinds, checked and brought into one form."""
    kind = type(edit).__name__
    object.__setattr__(edit, "layer", scalars.integer(edit.layer, f"{kind}.layer", -scalars.INT32_MAX))
    object.__setattr__(edit, "value", scalars.real(edit.value, f"{kind}.value", -FLOAT32_MAX, FLOAT32_MAX))
    object.__setattr__(edit, "scope", scope_text(edit.scope))
    coefficients(edit.operation, edit.value)


def _finite(vector: Any, name: str) -> np.ndarray:
    """An array of finite numbers, from whatever holds one."""
    try:
        array = np.asarray(vector)
        kind = array.dtype.kind if array.dtype.name != "bfloat16" else "f"
    except (TypeError, ValueError, RuntimeError):
        kind = "O"
    if kind not in "fiu" or not array.ndim or not np.isfinite(array.astype(np.float32)).all():
        raise ValueError(f"{name}: got {scalars.shown(vector)}; needs an array of finite numbers")
    return array


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
    width = max(sum(_slots(edit) for edit in row) for row in rows)
    return EditSpec(streams.pop(), "replace" if mode == "replace" and family == "feature" else family, width)


def _slots(edit: AnyEdit) -> int:
    """How many slots an edit needs, whatever the prompt's length."""
    if isinstance(edit, SwapEdit) and edit.vector.ndim == 2:
        return len(edit.vector)
    return slots(edit.scope)


def edit_arrays(spec: EditSpec, rows: Sequence[Sequence[AnyEdit]], prompt_length: int, width: int) -> Edit:
    """Rows of edits as arrays [R, E] for a prompt of that length; `width` is the stream's D.

    Raises:
        ValueError: a layer that counts from the end (`engine.intervention.named` knows how many there are), a scope
            that the prompt has not room for, or vectors of another shape.
    """
    shape = (len(rows), spec.slots)
    ids = {name: np.zeros(shape, np.int32) for name in ("feature", "start", "stop")}
    numbers = {name: np.zeros(shape, np.float32) for name in ("scale", "shift")}
    layer = np.full(shape, EMPTY, np.int32)
    vectors = np.zeros((*shape, width), np.float32) if spec.family in ("vector", "swap") else None
    for r, row in enumerate(rows):
        placed = [(edit, *slot) for edit in row for slot in _spans(edit, prompt_length, width)]
        for e, (edit, start, stop, vector) in enumerate(placed):
            layer[r, e] = scalars.integer(edit.layer, f"{type(edit).__name__}.layer")
            ids["start"][r, e], ids["stop"][r, e] = start, stop
            numbers["scale"][r, e], numbers["shift"][r, e] = coefficients(edit.operation, edit.value)
            if isinstance(edit, FeatureEdit):
                ids["feature"][r, e] = edit.feature
            elif vectors is not None:
                vectors[r, e] = vector
    return Edit(layer=layer, **ids, **numbers, writer=ids["feature"], vectors=vectors)


def _spans(edit: AnyEdit, length: int, width: int) -> list[tuple[int, int, np.ndarray | None]]:
    """[start, stop) of each slot and the vector it is edited with."""
    spans = intervals(edit.scope, length)
    if isinstance(edit, FeatureEdit):
        return [(start, stop, None) for start, stop in spans]
    if np.shape(edit.vector) == (width,):
        return [(start, stop, edit.vector) for start, stop in spans]
    positions = [p for start, stop in spans for p in range(start, min(stop, length))]
    several = isinstance(edit, SwapEdit) and bool(positions)
    if several and np.shape(edit.vector) == (length, width):
        return [(p, p + 1, edit.vector[p]) for p in positions]
    if several and np.shape(edit.vector) == (len(positions), width):
        return [(p, p + 1, vector) for p, vector in zip(positions, edit.vector, strict=True)]
    more = f", or ({length}, {width}) or ({len(positions)}, {width}): one a token of the prompt, or of the scope"
    raise ValueError(
        f"vector: got shape {np.shape(edit.vector)} for {edit.stream} at layer {edit.layer}; needs ({width},)"
        f"{more if several else ''}"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Tap:
    """A recording: a stream read at some layers.

    Attributes:
        stream: resid_pre, attn_in, attn_pattern, head_out, attn_raw, attn_out, resid_mid, mlp_norm, mlp_in, mlp_act,
            mlp_raw, mlp_out, resid_post (`engine.intervention.sites` says what each is), final_norm or logits; with a
            layer as resid_post.3; or its name in TransformerLens (blocks.3.hook_resid_post, of every layer hook_z) or
            Hugging Face (model.layers.3.mlp, of its input model.layers.3.mlp.input).
        reader: raw; all, top_k, selected (features of the dictionary); project (components along vectors).
        layers: one or several, negative ones counted from the end; default: the one in the stream's name, or all, or
            all that have a dictionary.
        width: k of top_k. ids: features of selected, [S] for every layer or [P, S]. vectors: of project, [S, D] or
            [P, S, D].

    What is recorded: `Record.values` [P, T, W] for each prompt of `run`, P layers and T tokens (attn_pattern
    [P, H, T, S], head_out [P, T, H, K]); [step, P, row, W] for `generate`, step 0 being the prompt's last token.

    Raises:
        ValueError: an unknown reader, layers or ids that are no whole numbers, or vectors that are not finite.
    """

    stream: str = "resid_post"
    reader: Reader = "raw"
    layers: Sequence[int] | int | None = None
    width: int = 0
    ids: np.ndarray | None = None
    vectors: np.ndarray | None = None

    def __post_init__(self):
        if self.reader not in READERS:
            raise ValueError(f"Tap.reader: got {self.reader!r}; needs one of {', '.join(READERS)}")
        if self.layers is not None:
            layers = scalars.integers(self.layers, "Tap.layers", -scalars.INT32_MAX)
            object.__setattr__(self, "layers", tuple(layers.ravel().tolist()))
        object.__setattr__(self, "width", scalars.integer(self.width, "Tap.width"))
        if self.ids is not None:
            object.__setattr__(self, "ids", scalars.integers(self.ids, "Tap.ids"))
        if self.vectors is not None:
            object.__setattr__(self, "vectors", _finite(self.vectors, "Tap.vectors"))

    def bind(self, dictionary: Dictionary | None, num_layers: int) -> BoundTap:
        """With its arrays on the device; the stream is one of the engine's.

        Raises:
            ValueError: see `bind_tap`; or layers that the model does not have.
        """
        layers = self._layers(cast(tuple[int, ...] | None, self.layers), dictionary, num_layers)
        ids, vectors = _a_layer(self.ids, 2, len(layers)), _a_layer(self.vectors, 3, len(layers))
        given = next((a for a in (ids, vectors) if a is not None and a.ndim > 1), None)
        spec = TapSpec(self.stream, self.reader, layers, self.width if given is None else given.shape[1])
        return bind_tap(spec, dictionary, *(None if a is None else jnp.asarray(a) for a in (ids, vectors)))

    def _layers(self, given: tuple[int, ...] | None, dictionary: Dictionary | None, num_layers: int) -> tuple[int, ...]:
        if self.stream in ONCE:
            return (num_layers,) if given in (None, (-1,)) else given
        if given is None:
            encodes = self.reader in ("all", "selected", "top_k") and dictionary is not None
            return dictionary.config.layers if encodes and dictionary else tuple(range(num_layers))
        layers = tuple(scalars.layer(layer, num_layers, "Tap.layers") for layer in given)
        if len(set(layers)) < len(layers):
            raise ValueError(f"Tap.layers: got {list(given)}; needs each layer once")
        return layers


def _a_layer(array: np.ndarray | None, axes: int, layers: int) -> np.ndarray | None:
    """An array with an axis of layers: one without it is every layer's."""
    return array if array is None or array.ndim != axes - 1 else np.broadcast_to(array, (layers, *array.shape))
