"""Interventions as data.

An `EditSpec` is static: it belongs to the compiled program. An `Edit` is arrays alone, one row a trial, so that one
program serves every feature of every layer. With f the present value of the edited quantity, its new value is
scale * f + shift and the stream x changes by

    x += (scale * f + shift - f) * w            (delta form: whatever the dictionary does not explain stays)

    family    f                                       w
    feature   a dictionary feature's value            its decoder row
    vector    x . v / |v|^2, the component along v     v
    swap      the whole vector x                      (scale * x + shift * value) - x
    replace   a dictionary feature's value            x becomes decode(encode(x) with the feature at its new value)

With a transcoder f is a value in the stream it reads, and x the stream it writes, later in the same layer; `replace`
puts the transcoder's output there. A dictionary that undoes a norm of its input writes w times that norm's scale.

So set is (0, v), zero (0, 0), add (1, d), scale (k, 0), inhibit (-a, 0), and (1, 0) is "at its own value":
exact to the last bit in delta form, and the dictionary's reconstruction in `replace`.

`writer` names the feature whose decoder row is written. It is the edited feature itself, or, for a control, another
one, rescaled to the edited feature's decoder norm: the same push in a direction that should not matter.

Shapes: B rows, E slots, D stream width. Positions are absolute; a slot acts on [start, stop).
"""

import dataclasses
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.sites import DICTIONARY_ONLY, EDITABLE, STREAMS

Family = Literal["feature", "vector", "swap", "replace"]
FAMILIES: tuple[Family, ...] = ("feature", "vector", "swap", "replace")
FOREVER = np.iinfo(np.int32).max
EMPTY = -1


@dataclasses.dataclass(frozen=True)
class EditSpec:
    """The static part of an edit: the stream written, the family and the number of slots a row.

    What is read is the same stream, or, with a transcoder, the one that its dictionary reads.
    """

    stream: str = "resid_post"
    family: Family = "feature"
    slots: int = 1

    def __post_init__(self):
        if self.family not in FAMILIES:
            raise ValueError(f"EditSpec.family: got {self.family!r}; needs one of {', '.join(FAMILIES)}")
        editable = EDITABLE if self.family in ("vector", "swap") else EDITABLE + DICTIONARY_ONLY
        if self.stream not in editable:
            raise ValueError(f"stream: got {self.stream!r}; {self.family} edits act on {', '.join(editable)}")

    def one_layer(self, dictionary: Dictionary | None) -> bool:
        """Whether all rows of a bucket must edit the same layer, because the whole dictionary is needed there."""
        if self.family == "replace":
            return True
        return self.family == "feature" and dictionary is not None and dictionary.config.ranked


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Edit:
    """The arrays of an edit, each [B, E]; `vectors` [B, E, D] for the vector and swap families alone.

    A slot with layer -1 is empty. Positions are absolute token positions, prompt included.
    """

    layer: Int[AnyArray, "B E"]
    feature: Int[AnyArray, "B E"]
    start: Int[AnyArray, "B E"]
    stop: Int[AnyArray, "B E"]
    scale: Float[AnyArray, "B E"]
    shift: Float[AnyArray, "B E"]
    writer: Int[AnyArray, "B E"]
    vectors: Float[AnyArray, "B E D"] | None = None


def no_edit(rows: int, slots: int = 1) -> Edit:
    """Rows without an intervention."""
    ids, values = np.zeros((rows, slots), np.int32), np.zeros((rows, slots), np.float32)
    return Edit(layer=ids + EMPTY, feature=ids, start=ids, stop=ids, scale=values + 1, shift=values, writer=ids)


def check_edit(edit: Edit, spec: EditSpec, num_layers: int, dictionary: Dictionary | None) -> None:
    """Refuse an edit that cannot mean what it says; runs on the host, before anything is compiled.

    Raises:
        ValueError: a layer, feature or interval out of range, a missing dictionary or vectors, two slots of a row on
            one feature and position, or rows of several layers where the family needs one.
    """
    layer, feature = np.asarray(edit.layer), np.asarray(edit.feature)
    live = layer != EMPTY
    if layer.shape[-1] != spec.slots:
        raise ValueError(f"edit.layer: {layer.shape[-1]} slots a row, but the spec has {spec.slots}")
    if (bad := layer[live & ((layer < 0) | (layer >= num_layers))]).size:
        raise ValueError(f"edit.layer: {bad[0]} is outside the model's layers 0..{num_layers - 1}")
    if spec.family in ("vector", "swap"):
        _check_vectors(vectors_of(edit, spec), spec, live)
    else:
        _check_features(edit, spec, dictionary_of(dictionary, spec), live)
    if (np.asarray(edit.start)[live] < 0).any() or (np.asarray(edit.stop)[live] <= np.asarray(edit.start)[live]).any():
        raise ValueError("edit.start, edit.stop: an interval is empty or negative; a slot acts on start <= p < stop")
    for values, name in ((edit.scale, "scale"), (edit.shift, "shift")):
        if not np.isfinite(np.asarray(values)[live]).all():
            raise ValueError(f"edit.{name}: holds a value that is not finite")
    if spec.family != "vector":  # components along several vectors add; whole vectors at one place do not
        _check_overlap(edit, live, feature)


def _check_vectors(vectors: AnyArray, spec: EditSpec, live: np.ndarray) -> None:
    used = np.asarray(vectors)[live]
    if not np.isfinite(used).all():
        raise ValueError("edit.vectors: holds a value that is not finite")
    if spec.family == "vector" and len(used) and not np.abs(used).max(axis=-1).all():
        raise ValueError("edit.vectors: a vector is zero; a stream has no component along it")


def vectors_of(edit: Edit, spec: EditSpec) -> Float[AnyArray, "B E D"]:
    """The vectors of a family that needs them.

    Raises:
        ValueError: the edit has none.
    """
    if edit.vectors is None:
        raise ValueError(f"edit.vectors: missing; the {spec.family} family needs an array [rows, slots, d_model]")
    return edit.vectors


def dictionary_of(dictionary: Dictionary | None, spec: EditSpec) -> Dictionary:
    """The dictionary of a family that needs one.

    Raises:
        ValueError: there is none.
    """
    if dictionary is None:
        raise ValueError(f"dictionary: missing; the {spec.family} family edits dictionary features")
    return dictionary


def _check_features(edit: Edit, spec: EditSpec, dictionary: Dictionary, live: np.ndarray) -> None:
    reads, writes = dictionary.config.stream, dictionary.config.output_stream
    if writes != spec.stream:
        raise ValueError(f"stream: {spec.stream!r} but the dictionary writes {writes!r}; they must agree")
    if STREAMS.index(reads) > STREAMS.index(writes):
        raise ValueError(
            f"dictionary: reads {reads!r} and writes {writes!r}, which comes before it in a block, so its edits cannot "
            f"be made in one pass; the order is {', '.join(STREAMS)}"
        )
    for layer in np.unique(np.asarray(edit.layer)[live]):
        dictionary.config.index_of(int(layer))
    for ids, name in ((edit.feature, "feature"), (edit.writer, "writer")):
        chosen = np.asarray(ids)[live]
        if (bad := chosen[(chosen < 0) | (chosen >= dictionary.num_features)]).size:
            raise ValueError(f"edit.{name}: {bad[0]} is outside the dictionary's 0..{dictionary.num_features - 1}")
    layers = np.unique(np.asarray(edit.layer)[live])
    if spec.one_layer(dictionary) and len(layers) > 1:
        raise ValueError(
            f"edit.layer: rows of layers {layers.tolist()} in one call; {spec.family} edits of a "
            f"{dictionary.config.kind} dictionary need the whole dictionary, so give each layer a call of its own"
        )


def _check_overlap(edit: Edit, live: np.ndarray, feature: np.ndarray) -> None:
    """Among slots of a row on one layer and feature, sorted by start, one that overlaps any overlaps a neighbour."""
    layer, start, stop = (np.asarray(a) for a in (edit.layer, edit.start, edit.stop))
    order = np.lexsort((start, feature, layer, ~live), axis=-1)
    layer, feature, start, stop, live = (np.take_along_axis(a, order, -1) for a in (layer, feature, start, stop, live))
    same = live[:, 1:] & (layer[:, 1:] == layer[:, :-1]) & (feature[:, 1:] == feature[:, :-1])
    meet = same & live[:, :-1] & (start[:, 1:] < stop[:, :-1])
    if meet.any():
        row, place = (int(n[0]) for n in np.nonzero(meet))
        a, b = sorted(order[row, place : place + 2].tolist())
        raise ValueError(f"edit: slots {a} and {b} of row {row} act on one feature and position; merge them")
