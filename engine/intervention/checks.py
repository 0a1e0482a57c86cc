"""Edits that cannot mean what they say, refused on the host before anything is compiled."""

from collections.abc import Sequence

import numpy as np

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.edges import keys_of
from causeway.engine.intervention.edits import EMPTY, Edit, dictionary_of, vectors_of
from causeway.engine.intervention.sites import STREAMS, once
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.refusals import check_stream

# Families that put another vector in the stream's place, so that no other edit can act there too.
WHOLE = ("swap", "replace")


def check_edits(
    edits: tuple[Edit, ...], config: ModelConfig, dictionary: InMemory | None, numbers: Sequence[int] | None = None
) -> None:
    """Refuse edits that cannot mean what they say.

    Args:
        numbers: what errors call the rows; default: their places.

    Raises:
        ValueError: a layer, feature or interval out of range, a missing dictionary or vectors, two slots of a row on
            one feature and position or beside one that takes the whole stream, edits of one spec, or rows of several
            layers where the family needs one.
    """
    if not edits:
        return
    rows = range(len(edits[0].layer)) if numbers is None else numbers
    for edit in edits:
        _check_edit(edit, config, dictionary, rows)
    for i, edit in enumerate(edits):
        for other in edits[i + 1 :]:
            _check_together(edit, other, rows)


def _check_edit(edit: Edit, config: ModelConfig, dictionary: InMemory | None, rows: Sequence[int]) -> None:
    layer, spec, num_layers = np.asarray(edit.layer), edit.spec, config.num_layers
    live = layer != EMPTY
    single = once(spec.stream, num_layers)
    if single is not None and (bad := layer[live & (layer != single)]).size:
        raise ValueError(f"edit.layer: {spec.stream} comes once, at layer {single}; got {bad[0]}")
    if single is None and (bad := layer[live & ((layer < 0) | (layer >= num_layers))]).size:
        raise ValueError(f"edit.layer: {bad[0]} is outside the model's layers 0..{num_layers - 1}")
    check_stream(spec.stream, config, "edits")
    if spec.family in ("vector", "swap"):
        _check_vectors(edit, live)
    elif spec.family in ("unit", "edge"):
        _check_units(edit, config, live)
    else:
        _check_features(edit, dictionary_of(dictionary, spec), live)
    if (np.asarray(edit.start)[live] < 0).any() or (np.asarray(edit.stop)[live] <= np.asarray(edit.start)[live]).any():
        raise ValueError("edit.start, edit.stop: an interval is empty or negative; a slot acts on start <= p < stop")
    if spec.pinned and (np.asarray(edit.stop) - np.asarray(edit.start))[live].max(initial=1) > 1:
        raise ValueError("edit.stop: a pinned slot acts at one position; needs start + 1")
    for values, name in ((edit.scale, "scale"), (edit.shift, "shift")):
        if not np.isfinite(np.asarray(values)[live]).all():
            raise ValueError(f"edit.{name}: holds a value that is not finite")
    if spec.family == "edge":
        _check_edges(edit, live, rows)
    elif spec.family != "vector":  # components along several vectors add; whole vectors at one place do not
        _check_overlap(edit, live, rows)


def _check_vectors(edit: Edit, live: np.ndarray) -> None:
    used = np.asarray(vectors_of(edit))[live]
    if not np.isfinite(used).all():
        raise ValueError("edit.vectors: holds a value that is not finite")
    if edit.spec.family == "vector" and len(used) and not np.abs(used).max(axis=-1).all():
        raise ValueError("edit.vectors: a vector is zero; a stream has no component along it")


def _check_units(edit: Edit, config: ModelConfig, live: np.ndarray) -> None:
    edges = edit.spec.family == "edge"
    count = config.num_heads if edges else config.units(edit.spec.stream)[0]
    chosen = np.asarray(edit.feature)[live]
    if (bad := chosen[(chosen < 0) | (chosen >= count)]).size:
        what = "head" if edges else f"unit of {edit.spec.stream}"
        raise ValueError(f"edits: {what} {bad[0]} is outside the model's 0..{count - 1}")


def _check_features(edit: Edit, dictionary: InMemory, live: np.ndarray) -> None:
    """Refuse features and layers that are not there, and forms that are no edit of one place.

    `replace` puts a reconstruction in one layer's place. That of a cross-layer transcoder is made of the features of
    all layers below as well: the layers up to there would have to be another model's, which is no edit of this one.
    """
    spec, reads, writes = edit.spec, dictionary.config.stream, dictionary.config.output_stream
    if writes != spec.stream:
        raise ValueError(f"stream: {spec.stream!r} but the dictionary writes {writes!r}; they must agree")
    check_order(dictionary.config)
    if reads == writes and isinstance(dictionary, CrossLayerTranscoder):
        raise ValueError(
            f"dictionary: a cross-layer transcoder that reads and writes {reads!r}; needs to read an earlier stream of "
            "the block than it writes, so that its features can be edited in one pass"
        )
    if spec.family == "replace" and isinstance(dictionary, CrossLayerTranscoder):
        raise ValueError(
            "mode: replace with a cross-layer transcoder, which makes each layer of all those below it; use delta"
        )
    layers = np.unique(np.asarray(edit.layer)[live])
    for layer in layers:
        dictionary.config.index_of(int(layer))
    for ids, name in ((edit.feature, "feature"), (edit.writer, "writer")):
        chosen = np.asarray(ids)[live]
        if (bad := chosen[(chosen < 0) | (chosen >= dictionary.num_features)]).size:
            raise ValueError(f"edit.{name}: {bad[0]} is outside the dictionary's 0..{dictionary.num_features - 1}")
    if spec.one_layer(dictionary) and len(layers) > 1:
        raise ValueError(
            f"edit.layer: rows of layers {layers.tolist()} in one call; {spec.family} edits of a "
            f"{dictionary.config.kind} dictionary need the whole dictionary, so give each layer a call of its own"
        )


def check_order(config: DictionaryConfig) -> None:
    """Refuse dictionaries whose features cannot be changed where they are read.

    Raises:
        ValueError: they write a stream that comes before the one they read.
    """
    reads, writes = config.stream, config.output_stream
    if STREAMS.index(reads) > STREAMS.index(writes):
        raise ValueError(
            f"dictionary: reads {reads!r} and writes {writes!r}, which comes before it in a block, so its edits cannot "
            f"be made in one pass; the order is {', '.join(STREAMS)}"
        )


def _check_overlap(edit: Edit, live: np.ndarray, rows: Sequence[int]) -> None:
    """Among slots of a row on one layer and feature, sorted by start, one that overlaps any overlaps a neighbour."""
    layer, feature, start, stop = (np.asarray(a) for a in (edit.layer, edit.feature, edit.start, edit.stop))
    order = np.lexsort((start, feature, layer, ~live), axis=-1)
    layer, feature, start, stop, live = (np.take_along_axis(a, order, -1) for a in (layer, feature, start, stop, live))
    same = live[:, 1:] & (layer[:, 1:] == layer[:, :-1]) & (feature[:, 1:] == feature[:, :-1])
    meet = same & live[:, :-1] & (start[:, 1:] < stop[:, :-1])
    if meet.any():
        row, place = (int(n[0]) for n in np.nonzero(meet))
        a, b = sorted(order[row, place : place + 2].tolist())
        where = f"layer {layer[row, place]}, {edit.spec.family} {feature[row, place]}, position {start[row, place + 1]}"
        raise ValueError(
            f"edit: slots {a} and {b} of row {rows[row]} act on one {_THING[edit.spec.family]} ({where}); merge them"
        )


def _check_edges(edit: Edit, live: np.ndarray, rows: Sequence[int]) -> None:
    """Refuse two slots of a row that share an edge: their spans of queries and of keys both meet."""
    spans = ((edit.start, edit.stop), keys_of(edit))
    meet = np.triu(np.ones((live.shape[1],) * 2, bool), 1) & live[:, :, None] & live[:, None]
    for a in (np.asarray(edit.layer), np.asarray(edit.feature)):
        meet &= a[:, :, None] == a[:, None]
    for start, stop in (map(np.asarray, span) for span in spans):
        meet &= (start[:, :, None] < stop[:, None]) & (start[:, None] < stop[:, :, None])
    if meet.any():
        row, one, other = (int(n[0]) for n in np.nonzero(meet))
        raise ValueError(f"edit: slots {one} and {other} of row {rows[row]} act on one edge; merge them")


_THING = {
    "feature": "feature and position", "replace": "feature and position", "unit": "unit and position",
    "swap": "position of one stream",
}  # fmt: skip


def _check_together(edit: Edit, other: Edit, rows: Sequence[int]) -> None:
    """Refuse two edits of one spec, and a slot at a position where another one takes the whole stream."""
    if (edit.spec.stream, edit.spec.family) == (other.spec.stream, other.spec.family):
        raise ValueError(f"edits: two of {edit.spec}; give one with the slots of both")
    if edit.spec.stream != other.spec.stream or not {edit.spec.family, other.spec.family} & set(WHOLE):
        return
    one, two = ((np.asarray(a)[:, :, None] for a in _place(edit)), (np.asarray(a)[:, None] for a in _place(other)))
    (layer, start, stop), (others, begin, end) = one, two
    meet = (layer == others) & (layer != EMPTY) & (start < end) & (begin < stop)
    if meet.any():
        row, first, second = (int(n[0]) for n in np.nonzero(meet))
        raise ValueError(
            f"edits: row {rows[row]} has a {edit.spec.family} edit (slot {first}) and a {other.spec.family} edit (slot "
            f"{second}) of {edit.spec.stream} at one layer and position; {' and '.join(WHOLE)} take the whole stream, "
            "so leave one of them out"
        )


def _place(edit: Edit) -> tuple:
    return edit.layer, edit.start, edit.stop
