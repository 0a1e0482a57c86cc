"""The reading of a corpus as a resumable job: a tally of every feature of all layers, unit by unit.

    workdir/plan.json, units/, tallies.parquet         which layer each row of the arrays is
           /contexts.zarr/top_value [row, k, F] ...   the arrays of `tally.Tally`, and the sum of each feature's values

A unit is some rows of the text; it begins from nothing, so it is a function of the plan and of its number. The units'
tallies are joined in their order when all are there, a layer at a time (`layer_tallies`).

Shapes: R rows of T tokens, P layers, F features of a layer that are looked at, K slots.
Cost: one forward pass and one encoding a token, whatever is kept. On disk: P F (K (3 + W) + G + BINS + 3) numbers a
unit, before compression (features that are seldom active take next to nothing). Memory: as much on each device.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine.analyses.contexts.reduction import TallyRows
from causeway.engine.analyses.contexts.tally import GROUPS, Sizes, Tally, merged
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.dictionary.finite import check_features
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.progress import each
from causeway.engine.reading.passes import ReadRow
from causeway.engine.reading.read import ROWS, Part, read
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import ArraySpec, Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.store import Store
from causeway.engine.train.corpus import Corpus

# Version of the arrays' meaning; raise it when the same settings would give other numbers.
VERSION = "1"
UNIT_ROWS = 1024
SCHEMA = pa.schema([("layer", pa.int32())])


@dataclasses.dataclass(frozen=True)
class ContextSweep(Job):
    """What is read, and how.

    Attributes:
        model: loaded. dictionary: of the model, under its names (`fitted`).
        corpus: rows of one text each.
        features: of each layer that is looked at, their numbers, ascending.
        sizes: how much is kept of a feature.
        unit_rows: rows of a unit. batch_rows: of a pass and device. seed: of what is drawn.
        parallel: devices that rows are spread over (default: those of the weights).

    Raises:
        ValueError: rows that go across texts, or more tokens than 32 bits count.
    """

    model: Model
    dictionary: Holder
    corpus: Corpus
    features: Mapping[int, Int[np.ndarray, " f"]]
    sizes: Sizes
    unit_rows: int = UNIT_ROWS
    batch_rows: int = ROWS
    seed: int = 0
    parallel: RowParallel | None = None

    def __post_init__(self):
        if self.corpus.texts is None:
            raise ValueError("corpus: its rows go across texts; contexts need rows of one text each (documents)")
        if self.corpus.tokens.size >= 2**31:
            raise ValueError(
                f"corpus: {self.corpus.tokens.size:,} places for tokens; a run holds {2**31 - 1:,}, divide the texts"
            )

    @property
    def layers(self) -> tuple[int, ...]:
        """Model layers, ascending."""
        return tuple(sorted(self.features))

    @property
    def count(self) -> int:
        """F: features of the layer that has most."""
        return max(map(len, self.features.values()))

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        config = {
            "numerics": numerics_of(self.model.transformer, self.dictionary), "layers": self.layers,
            "sizes": dataclasses.asdict(self.sizes), "rows": len(self.corpus.tokens), "batch_rows": self.batch_rows,
            "unit_rows": self.unit_rows, "seed": self.seed,
        }  # fmt: skip
        parts = {
            "weights": self.model.fingerprint, "dictionaries": dictionary_digest(self.dictionary),
            "text": self.corpus.fingerprint, "version": VERSION,
            "texts": config_sha256(self.texts.tolist()),
            "features": config_sha256([[layer, self.features[layer].tolist()] for layer in self.layers]),
        }  # fmt: skip
        units = -(-len(self.corpus.tokens) // self.unit_rows)
        layout = Layout(SCHEMA, "tallies", self._arrays, "contexts")
        return Plan("contexts", config, parts, (len(self.layers),) * units, layout, {"model": self.model.name})

    @property
    def expected_bytes(self) -> int:
        """Of the arrays, before compression; most of them are zeros, which take a tenth."""
        return self.plan.rows * self.plan.layout.array_row_bytes // 10

    def unit(self, index: int) -> UnitResult:
        """The tally of one unit's rows.

        Raises:
            NotFiniteError: a row's pass, or a feature, is not all numbers.
        """
        first = index * self.unit_rows
        rows = range(first, min(first + self.unit_rows, len(self.corpus.tokens)))
        totals = {layer: np.zeros(self.count) for layer in self.layers}
        tallies: dict[int, Tally] = {}
        for part in self._read(rows):
            if len(part.rows):
                totals[part.layer] += part.values["total"].sum(axis=0, dtype=np.float64)
            else:
                self._check(part.layer, totals[part.layer])
                own = Tally.of_named(part.values)
                before = tallies.get(part.layer)
                tallies[part.layer] = own if before is None else join(before, own, self.sizes)
        named = [
            {n: np.asarray(a) for n, a in tallies[layer].named().items()} | {"total": totals[layer]}
            for layer in self.layers
        ]
        arrays = {name: np.stack([one[name] for one in named]) for name in self._arrays}
        return UnitResult({"layer": list(self.layers)}, arrays)

    def _read(self, rows: range) -> Iterator[Part]:
        corpus = self.corpus
        listed = [
            ReadRow(corpus.tokens[row, :length], range(corpus.first, length), [row] * int(length - corpus.first))
            for row, length in zip(rows, corpus.lengths[rows.start : rows.stop], strict=True)
        ]
        everything = np.arange(self.dictionary.num_features)
        chosen = not all(np.array_equal(own, everything) for own in self.features.values())
        return read(
            self.model.transformer, listed, (self.dictionary.config.stream,), self.dictionary,
            TallyRows(self.count, self.sizes, chosen),
            data=self._data, layers=self.layers, batch_rows=self.batch_rows, width=corpus.tokens.shape[1],
            parallel=self.parallel or parallel_of(self.model.transformer, self.dictionary),
            name=lambda row: f"row {rows[row] + 1} of the text",
        )  # fmt: skip

    def _check(self, layer: int, total: Float[np.ndarray, " F"]) -> None:
        own = self.features[layer]
        check_features(total[: len(own)], own, layer, self.dictionary)

    @functools.cached_property
    def _data(self) -> dict[str, np.ndarray]:
        padded = [np.r_[own, np.repeat(own[:1], self.count - len(own))] for own in self._listed]
        return {
            "order": np.array([_hash(row, self.seed) for row in self._rows], np.uint32),
            "group": self.groups, "layer": np.array(self.layers, np.int32),
            "feature": np.array(padded, np.int32),
        }  # fmt: skip

    @property
    def _rows(self) -> list[Int[np.ndarray, " T"]]:
        """Tokens of each row, without padding."""
        return [row[:length] for row, length in zip(self.corpus.tokens, self.corpus.lengths, strict=True)]

    @property
    def _listed(self) -> list[Int[np.ndarray, " f"]]:
        return [self.features[layer] for layer in self.layers]

    @property
    def texts(self) -> Int[np.ndarray, " R"]:
        """Number of the text that each row is of."""
        assert self.corpus.texts is not None
        return self.corpus.texts

    @functools.cached_property
    def groups(self) -> Int[np.ndarray, " R"]:
        """The group of texts that each row is in: by a hash of its text's first row."""
        _, first, text = np.unique(self.texts, return_index=True, return_inverse=True)
        rows = self._rows
        of_text = np.array([_hash(rows[row], 0) % GROUPS for row in first], np.int32)
        return of_text[text]

    @functools.cached_property
    def _arrays(self) -> dict[str, ArraySpec]:
        shapes = jax.eval_shape(TallyRows(self.count, self.sizes).start)
        specs = {name: ArraySpec(a.shape, a.dtype.name, _axes(name, a.ndim)) for name, a in shapes.items()}
        return specs | {"total": ArraySpec((self.count,), "float64", ("feature",))}


def _axes(name: str, count: int) -> tuple[str, ...]:
    first = {"histogram": "bin", "tokens": "group"}.get(name, "slot")
    return {1: ("feature",), 2: (first, "feature"), 3: (first, "token", "feature")}[count]


def _hash(row: Int[np.ndarray, " T"], seed: int) -> int:
    """32 bits of a row of tokens: equal rows have equal ones wherever they stand."""
    digest = hashlib.blake2b(np.ascontiguousarray(row, "<i4").tobytes(), digest_size=4, key=seed.to_bytes(4, "little"))
    return int.from_bytes(digest.digest(), "little")


@functools.partial(jax.jit, static_argnames="sizes")
def join(one: Tally, other: Tally, sizes: Sizes) -> Tally:
    """`merged`, compiled."""
    return merged(one, other, sizes)


@dataclasses.dataclass(frozen=True)
class LayerTally:
    """What was found of one layer's features, in host memory.

    Attributes:
        layer: model layer. features: [F] their numbers. tally: of the whole corpus. total: [F] sums of values.
    """

    layer: int
    features: Int[np.ndarray, " F"]
    tally: Tally
    total: Float[np.ndarray, " F"]


def layer_tallies(sweep: ContextSweep, workdir: Path | None) -> Iterator[LayerTally]:
    """The tallies of all units together, layer by layer.

    Args:
        workdir: of the finished job; None computes all units, and keeps nothing.
    """
    if workdir is None:
        kept = [sweep.unit(index).arrays for index in range(sweep.plan.units)]
    store = None if workdir is None else Store(workdir, sweep.plan)
    for place, layer in enumerate(each("layers put together", sweep.layers, "layer")):
        units = (
            {name: array[place] for name, array in kept[unit].items()} if store is None
            else _stored(store, unit * sweep.plan.rows_per_unit + place) for unit in range(sweep.plan.units)
        )  # fmt: skip
        yield _together(sweep, layer, units)


def _stored(store: Store, row: int) -> dict[str, np.ndarray]:
    return {name: np.asarray(store.array(name)[row].read().result()) for name in store.plan.layout.arrays}


def _together(sweep: ContextSweep, layer: int, units: Iterator[dict[str, Any]]) -> LayerTally:
    features, tally, total = sweep.features[layer], None, np.zeros(sweep.count)
    for unit in units:
        total += unit.pop("total")
        own = Tally.of_named(unit)
        tally = own if tally is None else join(tally, own, sweep.sizes)
    own = jax.tree.map(lambda a: np.asarray(a)[..., : len(features)], tally)
    return LayerTally(layer, features, own, total[: len(features)])
