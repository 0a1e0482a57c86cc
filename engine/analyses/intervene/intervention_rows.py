"""Interventions as data: rows of (layer, position, feature) set to new values.

A row is one intervention list, run as one row of a batch. With f the feature's present activation its new value is
scale * f + shift: set is (0, v), zero (0, 0), scale (k, 0), inhibit (-a, 0), its own value (1, 0). A position is one
token, or several, which become a slot each. Two slots of one row on one (layer, position, feature) are refused.

Rows are kept flat (slots one after another, and where each row begins), because one row may zero a single feature and
another a circuit of thousands. Shapes: N slots, R rows; padded to E slots a row when they are run.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.intervention.operations import affine
from causeway.engine.intervention.requests import AnyEdit, FeatureEdit
from causeway.engine.intervention.scope import intervals
from causeway.engine.model.handle import Model

# Slots of a batch of rows: each brings an encoder column and a decoder row, and a circuit of thousands of features is
# mostly alone in its batch.
BATCH_SLOTS = 1024


AnyIntervention = FeatureEdit | tuple[int, int | slice, int, float]


@dataclasses.dataclass(frozen=True)
class InterventionRows:
    """R rows of slots.

    Attributes:
        row: of each slot, ascending [N]. layer, position, feature: [N]. scale, shift: new value = scale f + shift [N].
        count: R; a row may have no slots, and is then the clean run.
    """

    row: Int[np.ndarray, " N"]
    layer: Int[np.ndarray, " N"]
    position: Int[np.ndarray, " N"]
    feature: Int[np.ndarray, " N"]
    scale: Float[np.ndarray, " N"]
    shift: Float[np.ndarray, " N"]
    count: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[AnyIntervention]], length: int, layers: int) -> "InterventionRows":
        """Rows as a person writes them, for a prompt of `length` tokens and a model of so many layers.

        Raises:
            ValueError: no row, a row without edits or with two of one place, a layer or position that is not there, or
                an id or value that is no number.
        """
        if not len(rows):
            raise ValueError("edits: none; give at least one FeatureEdit or (layer, position, feature, value)")
        slots: list[tuple] = []
        for number, row in enumerate(rows):
            if not len(row):
                raise ValueError(
                    f"edits: row {number} is empty; give at least one FeatureEdit or (layer, position, feature, value)"
                )
            slots += _slots(number, row, length, layers)
        return cls.from_columns(np.array(slots, np.float64).T, len(rows))

    @classmethod
    def from_columns(cls, columns: Float[np.ndarray, "6 N"], count: int) -> "InterventionRows":
        """Columns row, layer, position, feature, scale, shift.

        Raises:
            ValueError: two slots of one row at one place.
        """
        ids = columns[:4].astype(np.int64)
        order = np.argsort(ids[0], kind="stable")
        _, first, counts = np.unique(ids, axis=1, return_index=True, return_counts=True)
        if (counts > 1).any():
            row, layer, position, feature = ids[:, first[counts > 1][0]].tolist()
            raise ValueError(
                f"edits: row {row} has two of feature {feature} at layer {layer}, position {position}; merge them"
            )
        row, layer, position, feature = ids[:, order]
        scale, shift = columns[4:, order]
        return cls(row, layer, position, feature, scale, shift, count)

    @classmethod
    def singles(
        cls,
        features: Int[np.ndarray, "R 3"],
        scale: Float[np.ndarray, " R"] | float,
        shift: Float[np.ndarray, " R"] | float,
    ) -> "InterventionRows":
        """A row for each (layer, position, feature)."""
        count = len(features)
        layer, position, feature = features.T.astype(np.int64)
        scale, shift = (np.broadcast_to(np.asarray(a, np.float64), count) for a in (scale, shift))
        return cls(np.arange(count), layer, position, feature, scale, shift, count)

    def check(self, model: Model, transcoders: Transcoders, length: int) -> None:
        """Refuse slots that are not in the model, its transcoders or the prompt.

        Raises:
            ValueError: a layer, position or feature out of range, a layer without transcoder, a value that is not
                finite.
        """
        layers, config = model.config.num_layers, transcoders.config
        for name, values, most in (
            ("layer", self.layer, layers), ("position", self.position, length),
            ("feature", self.feature, transcoders.num_features),
        ):  # fmt: skip
            if (bad := values[(values < 0) | (values >= most)]).size:
                raise ValueError(f"edits: {name} {bad[0]} is out of range; needs 0..{most - 1}")
        if (missing := np.setdiff1d(self.layer, config.layers)).size:
            raise ValueError(
                f"edits: layer {missing[0]} has no transcoder; the ones loaded are for layers {config.layers}"
            )
        if not (np.isfinite(self.scale).all() and np.isfinite(self.shift).all()):
            raise ValueError("edits: a value is not finite; needs finite activations")

    def name(self, row: int) -> str:
        """How an error names one row: its first slot, and how many more there are."""
        slots = np.flatnonzero(self.row == row)
        if not len(slots):
            return "without an intervention"
        layer, position, feature = (int(a[slots[0]]) for a in (self.layer, self.position, self.feature))
        more = f" and {len(slots) - 1} more" if len(slots) > 1 else ""
        return f"intervention at layer {layer}, position {position}, feature {feature}{more}"

    def batches(self, rows: int, num_layers: int) -> Iterator["Batch"]:
        """Rows alike in first edited layer and number of slots, so many at a time; fewer where each has many slots.

        What a row is run with then depends on the row and on `rows` alone, and so do its bits.
        """
        starts = np.searchsorted(self.row, np.arange(self.count + 1))
        slots = np.diff(starts)
        first = np.full(self.count, num_layers - 1)
        np.minimum.at(first, self.row, self.layer)
        width = np.array([_padded(int(n)) for n in slots])
        for layer, slot_width in sorted(set(zip(first.tolist(), width.tolist(), strict=True))):
            alike = np.flatnonzero((first == layer) & (width == slot_width))
            count = max(1, min(rows, BATCH_SLOTS // slot_width))
            for at in range(0, len(alike), count):
                yield self._batch(alike[at : at + count], starts, slot_width, layer, count)

    def _batch(self, chosen: np.ndarray, starts: np.ndarray, width: int, first: int, rows: int) -> "Batch":
        slots = np.concatenate([np.arange(starts[r], starts[r + 1]) for r in chosen])
        counts = starts[chosen + 1] - starts[chosen]
        place = np.repeat(np.arange(len(chosen)), counts), np.concatenate([np.arange(n) for n in counts])
        ids = {name: np.zeros((rows, width), np.int32) for name in ("layer", "position", "feature")}
        ids["layer"] += EMPTY
        numbers = {"scale": np.ones((rows, width)), "shift": np.zeros((rows, width))}
        for name, array in (ids | numbers).items():
            array[place] = getattr(self, name)[slots]
        return Batch(chosen, first, **ids, **numbers)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows padded to one shape: [B, E] slots, layer -1 for none; `rows` their numbers, `first` the lowest layer."""

    rows: Int[np.ndarray, " r"]
    first: int
    layer: Int[np.ndarray, "B E"]
    position: Int[np.ndarray, "B E"]
    feature: Int[np.ndarray, "B E"]
    scale: Float[np.ndarray, "B E"]
    shift: Float[np.ndarray, "B E"]


def _padded(slots: int) -> int:
    """Powers of two up to 64, then multiples of 64."""
    return 1 << max(0, slots - 1).bit_length() if slots <= 64 else -(-slots // 64) * 64


def _slots(number: int, row: Sequence[AnyIntervention], length: int, layers: int) -> list[tuple]:
    slots = []
    for entry in row:
        edit = feature_edit(entry, length)
        scale, shift = affine(edit.operation, edit.value)
        layer = scalars.layer(edit.layer, layers, "edits: layer")
        for start, stop in intervals(edit.scope, length):
            if start >= length:
                raise ValueError(f"edits: scope {edit.scope!r} holds no token of the prompt, which is all that is run")
            slots += [(number, layer, at, edit.feature, scale, shift) for at in range(start, min(stop, length))]
    return slots


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


def feature_edit(entry: AnyIntervention, length: int) -> FeatureEdit:
    """An entry as an edit; a slice is the list of its positions.

    Raises:
        ValueError: something else, a slice without positions, or what `FeatureEdit` refuses.
    """
    if isinstance(entry, FeatureEdit):
        return entry
    if not isinstance(entry, Sequence) or len(entry) != 4:
        raise ValueError(f"edits: got {entry!r}; needs FeatureEdit or (layer, position, feature, value)")
    layer, position, feature, value = entry
    scope = list(range(length)[position]) if isinstance(position, slice) else position
    if isinstance(position, slice) and not scope:
        raise ValueError(f"edits: {position} holds no position of a prompt of {length} tokens")
    return FeatureEdit(layer, feature, value, scope=scope)
