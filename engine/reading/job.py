"""Readings that last: `read` in units that are written as they are finished, so that the same call goes on.

A unit is some passes of one shape. What `read` gives of them is kept as it is, part by part, so whoever makes a table
of the parts makes the same one whether they come from the devices or from disk.

Shapes: B rows of a pass and device. Cost on disk: the results of the reduction, compressed.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.placement import numerics_of
from causeway.engine.model.transformer import Transformer
from causeway.engine.reading.passes import ROWS, ReadRow, all_places, prompt_name, shapes_of
from causeway.engine.reading.read import Part, layers_read, read
from causeway.engine.reading.reductions import Reduction
from causeway.engine.sweep import job
from causeway.engine.sweep.fingerprint import array_sha256, config_sha256
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Version of the parts' meaning; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"
UNIT_PASSES = 8
SCHEMA = pa.schema([
    ("layer", pa.int32()), ("rows", pa.list_(pa.int32())), ("there", pa.list_(pa.bool_())),
    ("names", pa.list_(pa.string())), ("dtypes", pa.list_(pa.string())), ("shapes", pa.list_(pa.list_(pa.int32()))),
    ("values", pa.list_(pa.binary())),
])  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Kept:
    """Where a reading is kept.

    Attributes:
        workdir: of this reading alone.
        weights: the model's fingerprint.
    """

    workdir: Path
    weights: str


def read_kept(
    kept: Kept | None,
    transformer: Transformer,
    rows: Sequence[ReadRow],
    streams: Sequence[str],
    dictionary: Holder | None,
    reduce: Reduction,
    **options: Any,
) -> Iterator[Part]:
    """`read`, from where an earlier call was stopped; without `kept` nothing is written.

    Args:
        options: see `read`.

    Raises:
        ValueError: the workdir holds another reading.
        Stopped: by a signal or a full disk; what is finished is kept.
    """
    if kept is None:
        yield from read(transformer, rows, streams, dictionary, reduce, **options)
        return
    reading = ReadJob(kept.weights, transformer, rows, tuple(streams), dictionary, reduce, options)
    for table in job.all_tables(reading, kept.workdir):
        yield from map(_part, table.to_pylist())


@dataclasses.dataclass(frozen=True)
class ReadJob(job.Job):
    """A reading in units.

    Attributes:
        weights: the model's fingerprint.
        transformer, rows, streams, dictionary, reduce, options: see `read`.
    """

    weights: str
    transformer: Transformer
    rows: Sequence[ReadRow]
    streams: tuple[str, ...]
    dictionary: Holder | None
    reduce: Reduction
    options: dict[str, Any]

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        data = self.options.get("data")
        parts = {
            "weights": self.weights,
            "dictionaries": "none" if self.dictionary is None else dictionary_digest(self.dictionary),
            "rows": config_sha256([[list(map(int, a)) for a in (r.tokens, r.places, r.labels)] for r in self.rows]),
            "data": " ".join(array_sha256(np.asarray(array)) for array in jax.tree.leaves(data)) or "none",
            "version": ROWS_VERSION,
        }
        config = {
            "numerics": numerics_of(self.transformer, self.dictionary),
            "reduction": repr(self.reduce),
            "streams": self.streams, "layers": self._layers, "batch_rows": self._batch,
            "shapes": [shape for shape, _ in self._shapes],
        }  # fmt: skip
        sizes = [-(-len(rows) // self._batch) * (1 if self._at_once else len(self._layers)) for rows in self._units]
        return Plan("reading", config, parts, tuple(sizes), Layout(SCHEMA, "parts"))

    def unit(self, index: int) -> UnitResult:
        """The parts of one unit."""
        numbers = np.array(self._units[index])
        options = {name: value for name, value in self.options.items() if name != "progress"}
        name = options.pop("name", prompt_name)
        parts = read(
            self.transformer, [self.rows[i] for i in numbers], self.streams, self.dictionary, self.reduce,
            name=lambda row: name(int(numbers[row])), **options,
        )  # fmt: skip
        rows = [self._row(part, numbers) for part in parts]
        return UnitResult({column: [row[column] for row in rows] for column in SCHEMA.names})

    @property
    def _batch(self) -> int:
        return self.options.get("batch_rows", ROWS)

    @property
    def _layers(self) -> tuple[int, ...]:
        return layers_read(self.dictionary, self.options.get("layers"))

    @property
    def _at_once(self) -> bool:
        return self.reduce.whole or self.dictionary is None

    @functools.cached_property
    def _shapes(self) -> list[tuple[tuple[int, int], list[int]]]:
        context, slots = self.transformer.config.max_position, self.options.get("slots", all_places)
        return shapes_of(self.rows, context, slots, self.options.get("width"))

    @functools.cached_property
    def _units(self) -> list[list[int]]:
        """Numbers of the rows of each unit, all of one shape."""
        size = UNIT_PASSES * self._batch
        return [members[i : i + size] for _, members in self._shapes for i in range(0, len(members), size)]

    @staticmethod
    def _row(part: Part, numbers: np.ndarray) -> dict[str, Any]:
        """A part as a row of the table."""
        arrays = list(part.values.values())
        return {
            "layer": part.layer, "rows": numbers[part.rows].tolist(), "there": part.there.reshape(-1).tolist(),
            "names": list(part.values), "dtypes": [array.dtype.str for array in arrays],
            "shapes": [list(array.shape) for array in arrays],
            "values": [np.ascontiguousarray(array).tobytes() for array in arrays],
        }  # fmt: skip


def _part(row: dict[str, Any]) -> Part:
    kinds = zip(row["names"], row["dtypes"], row["shapes"], row["values"], strict=True)
    values = {name: np.frombuffer(data, dtype).reshape(shape) for name, dtype, shape, data in kinds}
    rows = np.array(row["rows"])
    return Part(row["layer"], rows, np.array(row["there"], bool).reshape(len(rows), -1), values)
