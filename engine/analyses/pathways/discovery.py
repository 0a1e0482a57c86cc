"""Gradient discovery: the signed effect of the features of every lower layer on each target feature, of every prompt.

    L = pre-activation of the target at its position        gradient = <decoder row, dL / d stream written>
    effect = gradient * activation, or gradient * (planned value - activation)

`total` differentiates the model itself, `direct` its frozen pass (attention patterns, denominators of norms and what
MLPs write as they were), in which only attention's copying and the stream carry. Targets need not be active: a
pre-activation has a gradient wherever it stands.

Each prompt runs once. Targets of a layer are pulled back in chunks (`frozen.walk`), each layer's sources are read and
ranked on the device (`readings`), and the strongest leave it: the Jacobian of a chunk exists for one layer at a time,
so memory does not grow with the targets. A unit of the job is some chunks of one prompt; a row a target.

Shapes: R targets of a chunk, T tokens, k sources kept of each target and lower layer.
Cost a target of layer l: a one-position pull through its own block, l - 1 blocks and l readings; see `walk` and
`readings`. Memory: R T (D + 2 N + H T) numbers and what `readings` takes, beside the weights.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine.analyses.pathways import candidates
from causeway.engine.analyses.pathways.changes import PlannedValues
from causeway.engine.analyses.pathways.programs import Reading, Shared, pulled
from causeway.engine.analyses.pathways.prompts import PlacedPrompt, record
from causeway.engine.analyses.pathways.readings import Found, Given
from causeway.engine.analyses.pathways.sources import Pairs, drawn
from causeway.engine.analyses.pathways.targets import Chunk, Features, chunk_rows
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.gathered import to_host
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.sweep.fingerprint import array_sha256, config_sha256
from causeway.engine.sweep.job import Job, all_tables
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"
# Chunks of a unit: what is lost at most when killed.
UNIT_CHUNKS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Discovery(Job):
    """Everything a unit needs (made by `discovery` or `effects`).

    Attributes:
        model, dictionary: loaded. prompts: with their places. targets: each once. reading: what is kept of them.
        values: planned changes; None: the activations. stratum: sources drawn of each layer and prompt. seed: of these.
        pairs: whose effects are asked for, if they are. rows: targets pulled back together; None: as many as the
            device likes. parallel: devices.
    """

    model: Model
    dictionary: Dictionary
    prompts: tuple[PlacedPrompt, ...]
    targets: Features
    reading: Reading
    values: PlannedValues | None = None
    stratum: int = 0
    seed: int = 0
    pairs: Pairs | None = None
    rows: int | None = None
    parallel: RowParallel | None = None

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        accumulate = self.model.numerics.accumulate
        targets = {"targets": array_sha256(np.stack([self.targets.layer, self.targets.feature]))}
        if self.values is not None:
            targets["values"] = array_sha256(self.values.table)
        if self.pairs is not None:
            targets["pairs"] = array_sha256(np.stack(dataclasses.astuple(self.pairs)))
        parts = {
            "weights": self.model.fingerprint, "dictionaries": dictionary_digest(self.dictionary),
            "prompts": config_sha256([dataclasses.asdict(prompt) for prompt in self.prompts]),
            "rows": ROWS_VERSION, **targets,
        }  # fmt: skip
        config = {
            "numerics": numerics_of(self.model.transformer, self.dictionary),
            "reading": dataclasses.asdict(self.reading),
            "stratum": self.stratum, "seed": self.seed, "rows": [self._rows(prompt) for prompt in self.prompts],
        }  # fmt: skip
        sizes = tuple(sum(len(chunk.features) for chunk in chunks) for _, chunks in self._units)
        layout = Layout(candidates.stored_schema(accumulate), "candidates")
        return Plan("pathways_discovery", config, parts, sizes, layout, {"model": self.model.name})

    @property
    def expected_bytes(self) -> int:
        """Of the lists, before compression."""
        layers = np.asarray(self.dictionary.config.layers)
        below = int((layers[None] < self.targets.layer[:, None]).sum())
        asked = 0 if self.pairs is None else len(self.pairs.source_layer)
        return 32 * len(self.prompts) * (below * (self.reading.top + self.stratum) + asked)

    def unit(self, index: int) -> UnitResult:
        """The targets of some chunks of one prompt."""
        number, chunks = self._units[index]
        prompt, (layers, schema) = self.prompts[number], (self.dictionary.config.layers, self.plan.layout.schema)
        found: dict[int, dict[str, Found]] = {}
        todo = [at for at, chunk in enumerate(chunks) if chunk.layer > min(layers)]
        for rows in dict.fromkeys(chunks[at].rows for at in todo):
            same = [at for at in todo if chunks[at].rows == rows]
            found |= dict(zip(same, self._pulled(number, [chunks[at] for at in same]), strict=True))
        parts = [candidates.stored(prompt, chunk, found.get(at, {}), layers, schema) for at, chunk in enumerate(chunks)]
        return UnitResult(pa.concat_tables(parts))

    def laid_out(self, table: pa.Table) -> pa.Table:
        """A row for each source of each target."""
        return candidates.laid_out(table)

    def table(self, workdir: Path | None = None) -> pa.Table:
        """All rows, computed where they are missing.

        Args:
            workdir: where they are kept; None keeps nothing.
        """
        return pa.concat_tables(all_tables(self, workdir)).unify_dictionaries()

    def _pulled(self, number: int, chunks: Sequence[Chunk]) -> Iterator[dict[str, Found]]:
        """Sources of chunks of one width, one a device at a time."""
        devices, shared = self._devices, self._shared(number)
        program = devices.program(pulled, reading=self.reading)
        dtype = self.model.numerics.accumulate_dtype
        for stripe in devices.deal(chunks):
            own = [
                (np.int32(chunk.layer), chunk.filled.astype(np.int32), self._asked(chunk, dtype)) for chunk in stripe
            ]
            found = to_host(program(shared, devices.place(own)))
            yield from devices.apart(found, len(stripe))

    def _asked(self, chunk: Chunk, dtype: np.dtype) -> Given | None:
        if self.pairs is None:
            return None
        return self.pairs.given(chunk, self.dictionary.config.layers, self.values).of(dtype)

    def _shared(self, number: int) -> Shared:
        """What a prompt's chunks share, placed; of the latest prompt alone."""
        if number not in self._latest:
            self._latest.clear()
            prompt = self.prompts[number]
            recorded, sources = record(self.model, self.dictionary, prompt)
            stratum = None
            if self.stratum:
                key = f"{self.seed}:{prompt.id}"
                stratum = drawn(sources, self.values, self.stratum, self.reading.reduce, key)
                stratum = stratum.of(self.model.numerics.accumulate_dtype)
            transformer, dictionary, planned = self._placed
            own = self._devices.replicate((recorded, stratum))
            self._latest[number] = Shared(transformer, dictionary, own[0], planned, own[1])
        return self._latest[number]

    @functools.cached_property
    def _latest(self) -> dict[int, Shared]:
        return {}

    @functools.cached_property
    def _devices(self) -> RowParallel:
        return self.parallel or parallel_of(self.model.transformer, self.dictionary)

    @functools.cached_property
    def _placed(self) -> Any:
        planned = None if self.values is None else self.values.packed(self.model.numerics.accumulate_dtype)
        return self._devices.replicate((self.model.transformer, self.dictionary, planned))

    @functools.cached_property
    def _units(self) -> list[tuple[int, list[Chunk]]]:
        chunks = [self.targets.chunks(self._rows(prompt)) for prompt in self.prompts]
        return [
            (number, own[at : at + UNIT_CHUNKS])
            for number, own in enumerate(chunks)
            for at in range(0, len(own), UNIT_CHUNKS)
        ]

    def _rows(self, prompt: PlacedPrompt) -> int:
        return self.rows or chunk_rows(bucket_width(len(prompt.tokens)))
