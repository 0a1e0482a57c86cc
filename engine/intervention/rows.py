"""Flat rows of slots, dealt into padded batches.

One row may edit a single slot and another a circuit of thousands, so rows are kept as slots one after another, with the
row of each, and only rows alike are padded to one shape. Shapes: N slots, R rows; B rows of E slots in a batch.
"""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Int

from causeway.engine.arrays import AnyArray
from causeway.engine.intervention.edits import EMPTY, Edit

# Slots of a batch of rows: each brings an encoder column and a decoder row, and a circuit of thousands of features is
# mostly alone in its batch.
BATCH_SLOTS = 1024


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows padded to one shape: `rows` their numbers [r], `edits` their slots [B, E], `first` the lowest layer."""

    rows: Int[np.ndarray, " r"]
    first: int
    edits: tuple[Edit, ...]

    @property
    def numbers(self) -> list[int]:
        """What errors call each row of the batch; those after the last only fill it, and have no slots."""
        return [*self.rows.tolist(), *[-1] * (len(self.edits[0].layer) - len(self.rows))]

    @property
    def shape(self) -> tuple:
        """What batches of one program have in common."""
        return tuple((edit.spec, *edit.layer.shape) for edit in self.edits)


@dataclasses.dataclass(frozen=True)
class Rows:
    """R rows of slots.

    Attributes:
        edits: the slots of all rows, an edit of each kind, each slot a row of its own [N, 1].
        owners: of each edit, the row of each slot, ascending [N].
        count: R; a row may have no slots, and is then the clean run.
    """

    edits: tuple[Edit, ...]
    owners: tuple[Int[np.ndarray, " N"], ...]
    count: int

    @classmethod
    def of(cls, edits: tuple[Edit, ...], count: int) -> "Rows":
        """The rows of padded edits [R, E]."""
        live = [np.nonzero(np.asarray(edit.layer) != EMPTY) for edit in edits]
        flat = [
            jax.tree.map(lambda a, at=at: np.asarray(a)[at][:, None], edit)
            for edit, at in zip(edits, live, strict=True)
        ]
        return cls(tuple(flat), tuple(rows for rows, _ in live), count)

    def batches(self, rows: int, num_layers: int) -> Iterator[Batch]:
        """Rows alike in first edited layer and number of slots, so many at a time; fewer where each has many slots.

        What a row is run with then depends on the row and on `rows` alone, and so do its bits.
        """
        starts = [np.searchsorted(owner, np.arange(self.count + 1)) for owner in self.owners]
        first = np.full(self.count, num_layers - 1)
        for edit, owner in zip(self.edits, self.owners, strict=True):
            np.minimum.at(first, owner, np.asarray(edit.layer)[:, 0])
        widths = np.stack([_padded(np.diff(start)) for start in starts], axis=1)
        widths[~widths.any(axis=1), 0] = 1
        alike = [tuple(key) for key in np.column_stack([first, widths]).tolist()]
        for key in sorted(set(alike)):
            layer, *width = key
            numbers = np.array([row for row, other in enumerate(alike) if other == key])
            count = max(1, min(rows, BATCH_SLOTS // sum(width)))
            for at in range(0, len(numbers), count):
                yield self._batch(numbers[at : at + count], starts, width, layer, count)

    def _batch(self, chosen: np.ndarray, starts: list[np.ndarray], widths: list[int], first: int, rows: int) -> Batch:
        parts = zip(self.edits, starts, widths, strict=True)
        return Batch(chosen, first, tuple(_padded_edit(e, start, chosen, w, rows) for e, start, w in parts if w))

    def pinned(self, length: int, roundings: int = 0) -> "Rows":
        """The same with slots of features pinned: one for each position of theirs in a prompt of `length` tokens.

        They have bounds whether or not any needs them, so that a row's program is not another row's business.
        """
        made = [
            _pinned(edit, owner, length, roundings) if edit.spec.family == "feature" else (edit, owner)
            for edit, owner in zip(self.edits, self.owners, strict=True)
        ]
        return Rows(tuple(edit for edit, _ in made), tuple(owner for _, owner in made), self.count)

    def name(self, row: int) -> str:
        """How an error names one row: its first slot, and how many more there are."""
        slots = [(e, at) for e, o in zip(self.edits, self.owners, strict=True) for at in np.flatnonzero(o == row)]
        if not slots:
            return "without an intervention"
        edit, at = slots[0]
        layer, position, number = (int(np.asarray(a)[at, 0]) for a in (edit.layer, edit.start, edit.feature))
        more = f" and {len(slots) - 1} more" if len(slots) > 1 else ""
        return f"intervention at layer {layer}, position {position}, {edit.spec.family} {number}{more}"


def _padded(slots: Int[np.ndarray, " R"]) -> Int[np.ndarray, " R"]:
    """Powers of two up to 64, then multiples of 64; none stays none."""
    powers = 1 << np.ceil(np.log2(np.maximum(slots, 1))).astype(int)
    return np.where(slots <= 64, powers, -(-slots // 64) * 64) * (slots > 0)


def _padded_edit(edit: Edit, starts: np.ndarray, chosen: np.ndarray, width: int, rows: int) -> Edit:
    """The slots of the chosen rows, [rows, width]; what is beyond them is empty."""
    begin, stop = (np.pad(starts[chosen + end], (0, rows - len(chosen))) for end in (0, 1))
    slots = begin[:, None] + np.arange(width)
    live = slots < stop[:, None]

    def dealt(a: AnyArray) -> np.ndarray:
        found = np.asarray(a)[np.where(live, slots, 0), 0]
        return np.where(live.reshape(*live.shape, *[1] * (found.ndim - 2)), found, np.zeros((), found.dtype))

    padded = jax.tree.map(dealt, edit)
    return dataclasses.replace(padded, layer=np.where(live, padded.layer, EMPTY).astype(np.int32))


def _pinned(edit: Edit, owner: np.ndarray, length: int, roundings: int) -> tuple[Edit, np.ndarray]:
    start = np.asarray(edit.start)[:, 0]
    counts = np.minimum(np.asarray(edit.stop)[:, 0], length) - start
    slot = np.repeat(np.arange(len(counts)), counts)
    many = jax.tree.map(lambda a: np.asarray(a)[slot], edit)
    at = many.start + (np.arange(len(slot)) - np.repeat(np.cumsum(counts) - counts, counts))[:, None].astype(np.int32)
    bounds = many.bounds or (np.full(at.shape, -np.inf), np.full(at.shape, np.inf))
    spec = dataclasses.replace(edit.spec, pinned=True, roundings=roundings)
    return dataclasses.replace(many, start=at, stop=at + 1, bounds=bounds, spec=spec), owner[slot]
