"""Interventions as data: rows of (layer, position, feature) set to new values.

A row is one intervention list, run as one row of a batch. With f the feature's present activation its new value is
scale * f + shift: set is (0, v), zero (0, 0), scale (k, 0), inhibit (-a, 0), its own value (1, 0). A position is one
token, or a slice of tokens, which becomes a slot each. Where a row names a (layer, position, feature) twice, the last
one wins.

Rows are kept flat (slots one after another, and where each row begins), because one row may zero a single feature and
another a circuit of thousands. Shapes: N slots, R rows; padded to E slots a row when they are run.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.intervention.operations import affine
from causeway.engine.model.handle import Model

# Slots of a batch of rows: each brings an encoder column and a decoder row, and a circuit of thousands of features is
# mostly alone in its batch.
BATCH_SLOTS = 1024


@dataclasses.dataclass(frozen=True)
class Intervention:
    """A feature at a token, or at the tokens of a slice, put to a new value.

    Negative layers and positions count from the end.
    """

    layer: int
    position: int | slice
    feature: int
    value: float = 0.0
    operation: str = "set"


AnyIntervention = Intervention | tuple[int, int | slice, int, float]


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
            ValueError: no row, a row without interventions, a layer or position that is not there, or an id or value
                that is no number.
        """
        if not len(rows):
            raise ValueError("interventions: none; give at least one (layer, position, feature, value)")
        slots: list[tuple] = []
        for number, row in enumerate(rows):
            if not len(row):
                raise ValueError(
                    f"interventions: row {number} is empty; give at least one (layer, position, feature, value)"
                )
            slots += _slots(number, row, length, layers)
        return cls.from_columns(np.array(slots, np.float64).T, len(rows))

    @classmethod
    def from_columns(cls, columns: Float[np.ndarray, "6 N"], count: int) -> "InterventionRows":
        """Columns row, layer, position, feature, scale, shift; the last of equal slots is kept."""
        ids = columns[:4].astype(np.int64)
        _, backwards = np.unique(ids[:, ::-1], axis=1, return_index=True)
        kept = np.sort(ids.shape[1] - 1 - backwards)
        kept = kept[np.argsort(ids[0, kept], kind="stable")]
        row, layer, position, feature = ids[:, kept]
        scale, shift = columns[4:, kept]
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
                raise ValueError(f"interventions: {name} {bad[0]} is out of range; needs 0..{most - 1}")
        if (missing := np.setdiff1d(self.layer, config.layers)).size:
            raise ValueError(
                f"interventions: layer {missing[0]} has no transcoder; the ones loaded are for layers {config.layers}"
            )
        if not (np.isfinite(self.scale).all() and np.isfinite(self.shift).all()):
            raise ValueError("interventions: a value is not finite; needs finite activations")

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
        if not isinstance(entry, Intervention) and len(entry) != 4:
            raise ValueError(f"interventions: got {entry!r}; needs (layer, position, feature, value)")
        made = entry if isinstance(entry, Intervention) else Intervention(*entry)
        scale, shift = affine(made.operation, scalars.real(made.value, "interventions: value"))
        layer = scalars.layer(made.layer, layers, "interventions: layer")
        feature = scalars.integer(made.feature, "interventions: feature")
        for position in _positions(made.position, length):
            slots.append((number, layer, position, feature, scale, shift))
    return slots


def _positions(position: int | slice, length: int) -> list[int]:
    if isinstance(position, slice):
        found = list(range(length)[position])
        if not found:
            raise ValueError(f"interventions: {position} holds no position of a prompt of {length} tokens")
        return found
    return [scalars.integer(position, "interventions: position", -length, length - 1) % length]
