"""Prompts dealt into padded passes.

A pass is a fixed number of rows of one width. Which width and how many places a row has follows from that row alone,
so its numbers do not depend on the rows that are run with it: rows of one shape go together, in the order given, and a
pass that is not full repeats its last row, of which nothing counts.

Shapes: C rows of a pass on all devices, T its width, S places of a row.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int

from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.transformer import Transformer

ROWS = 16


@dataclasses.dataclass(frozen=True)
class ReadRow:
    """What is run and where it is read.

    Attributes:
        tokens: ids it is run as.
        places: positions read, ascending.
        labels: a number for each place, handed on to the reduction; none means zeros.
    """

    tokens: Sequence[int] | Int[np.ndarray, " T"]
    places: Sequence[int]
    labels: Sequence[int] = ()


@dataclasses.dataclass(frozen=True)
class ReadPass:
    """Rows of one shape.

    Attributes:
        rows: numbers of the rows, in the order of the arrays; the arrays may be longer.
        tokens: [C, T].
        lengths: [C] tokens of each row.
        places: [C, S] positions read.
        there: [C, S] whether there is one.
        labels: [C, S].
    """

    rows: Int[np.ndarray, " n"]
    tokens: Int[np.ndarray, "C T"]
    lengths: Int[np.ndarray, " C"]
    places: Int[np.ndarray, "C S"]
    there: Bool[np.ndarray, "C S"]
    labels: Int[np.ndarray, "C S"]


# (places of a row, width of its pass) -> S
Slots = Callable[[int, int], int]


def all_places(count: int, width: int) -> int:
    """As many slots as tokens: for rows that may be read anywhere."""
    return width


def one_place(count: int, width: int) -> int:
    """One slot: for rows that are read once."""
    return 1


def deal(
    rows: Sequence[ReadRow], count: int, context: int, slots: Slots = all_places, width: int | None = None
) -> Iterator[ReadPass]:
    """Passes of `count` rows.

    Args:
        rows: at least one place each.
        count: C.
        context: the model's greatest width.
        slots: S of a row, from its number of places and the width of its pass.
        width: one width for all; default: the bucket of each row's length.
    """
    for (wide, size), members in shapes_of(rows, context, slots, width):
        for start in range(0, len(members), count):
            yield _filled(rows, np.array(members[start : start + count]), count, wide, size)


def shapes_of(
    rows: Sequence[ReadRow], context: int, slots: Slots = all_places, width: int | None = None
) -> list[tuple[tuple[int, int], list[int]]]:
    """((T, S), numbers of the rows that have them), narrow ones first; see `deal`."""
    shapes: dict[tuple[int, int], list[int]] = {}
    for number, row in enumerate(rows):
        wide = width or bucket_width(len(row.tokens), context)
        shapes.setdefault((wide, slots(len(row.places), wide)), []).append(number)
    return sorted(shapes.items())


def prompt_name(row: int) -> str:
    """How errors name a row unless told otherwise."""
    return f"prompt {row + 1}"


def check_read(
    transformer: Transformer,
    rows: Sequence[ReadRow],
    batch_rows: int = ROWS,
    name: Callable[[int], str] = prompt_name,
) -> None:
    """Refuse rows that cannot be read, before anything is compiled; `fitted` does the same of dictionaries.

    Raises:
        ValueError: no rows, a row without a place, longer than the context or with ids outside the vocabulary, or
            fewer than one row a pass.
    """
    if batch_rows < 1:
        raise ValueError(f"rows: got {batch_rows}; a pass needs at least one row")
    if not rows:
        raise ValueError("prompts: got none; needs at least one")
    config = transformer.config
    for number, row in enumerate(rows):
        count = len(row.tokens)
        if not len(row.places):
            raise ValueError(f"{name(number)}: {count} tokens, none of which counts; give it more text")
        if count > config.max_position:
            raise ValueError(f"{name(number)}: {count} tokens, but the context is {config.max_position}; shorten it")
        if not 0 <= min(row.tokens) <= max(row.tokens) < config.vocab_size:
            ids = f"ids {min(row.tokens)} to {max(row.tokens)}"
            raise ValueError(f"{name(number)}: {ids}, but the vocabulary has 0..{config.vocab_size - 1}")


def _filled(rows: Sequence[ReadRow], numbers: Int[np.ndarray, " n"], count: int, width: int, size: int) -> ReadPass:
    tokens, lengths = np.zeros((count, width), np.int32), np.zeros(count, np.int32)
    places, labels = np.zeros((2, count, size), np.int32)
    there = np.zeros((count, size), bool)
    for i in range(count):
        row = rows[numbers[min(i, len(numbers) - 1)]]
        tokens[i, : len(row.tokens)], lengths[i] = row.tokens, len(row.tokens)
        places[i, : len(row.places)], labels[i, : len(row.labels)] = row.places, row.labels
        there[i, : len(row.places)] = i < len(numbers)
    return ReadPass(numbers, tokens, lengths, places, there, labels)
