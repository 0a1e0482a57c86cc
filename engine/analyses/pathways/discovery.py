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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.pathways import candidates
from causeway.engine.analyses.pathways.changes import Change, PlannedValues
from causeway.engine.analyses.pathways.programs import DERIVATIVES, Derivative, Reading, Shared, pulled
from causeway.engine.analyses.pathways.prompts import PlacedPrompt, placed_prompts, record
from causeway.engine.analyses.pathways.readings import BYS, REDUCTIONS, By, Found, Given, Reduce
from causeway.engine.analyses.pathways.sources import Pairs, drawn
from causeway.engine.analyses.pathways.targets import Chunk, Features, Ids, chunk_rows
from causeway.engine.analyses.represent.request import prompt_record
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.dictionary.fit import fitted
from causeway.engine.gathered import to_host
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.model.placement import numerics_of
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep.fingerprint import array_sha256, config_sha256
from causeway.engine.sweep.job import Job, all_tables
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"
# Chunks of a unit: what is lost at most when killed.
UNIT_CHUNKS = 8
SCOPE = "positions:1:"


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


def discovery(
    model: Model,
    dictionary: Dictionary,
    prompts: Sequence[Prompt | PromptRecord],
    targets: tuple[Ids, Ids],
    *,
    derivative: Derivative = "total",
    change: Change = "activation",
    reduce: Reduce = "each",
    top: int = 25,
    by: By = "effect",
    stratum: int = 0,
    seed: int = 0,
    position: str = "last",
    scope: str = SCOPE,
    rows: int | None = None,
    parallel: RowParallel | None = None,
) -> Discovery:
    """The strongest sources of target features, as a job that lasts (`Discovery.table` runs it).

    Args:
        model: a loaded model.
        dictionary: SAEs or transcoders in memory, of two layers or more.
        prompts: texts, token ids or records.
        targets: layers and features.
        derivative: of the model itself (`total`) or of its frozen pass (`direct`).
        change: of each source: its `activation`, or the values that features are planned to have, [L, F] with NaN
            where none is, or a table of layer, feature and value.
        reduce: sources are features at a position (`each`), or features, effects summed over the scope (`sum`).
        top: sources kept of each target and lower layer; ties go to the lower feature, then to the earlier position.
            Effects of 0 are left out.
        by: those of the largest `effect`, or of the largest `gradient`, in size.
        stratum: active sources drawn of each prompt and layer, the same for all targets, kept whatever their effect.
        seed: of the draw.
        position: of the targets, a place of one token of each prompt.
        scope: positions whose features are sources, as an edit's; by default all but the first, an attention sink.
        rows: targets pulled back together; None: as many as suit the device.
        parallel: devices to spread targets over (default: those of the weights).

    Raises:
        ValueError: features, prompts or places that there are not, or settings that say nothing.
    """
    dictionary = _checked(model, dictionary)
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce: got {scalars.shown(reduce)}; needs one of {', '.join(REDUCTIONS)}")
    if by not in BYS:
        raise ValueError(f"by: got {scalars.shown(by)}; needs one of {', '.join(BYS)}")
    reading = Reading(_derivative(derivative), reduce, scalars.integer(top, "top", 1), by)
    return Discovery(
        model, dictionary, _placed(model, prompts, position, scope), Features.of(dictionary, *targets, "targets"),
        reading, PlannedValues.of(dictionary, change, model.config.num_layers), scalars.integer(stratum, "stratum"),
        scalars.seed(seed), None, None if rows is None else scalars.integer(rows, "rows", 1), parallel,
    )  # fmt: skip


def discover(*request: Any, workdir: Path | None = None, **settings: Any) -> pa.Table:
    """The table of `discovery` (see there): a row for each source of each target and prompt (`candidates`).

    Args:
        workdir: where it is kept, and where the same call goes on; None keeps nothing.

    Raises:
        ValueError: see `discovery`; or the workdir is of another plan.
        NotFiniteError: an effect is not a number.
        Stopped: by a signal or a full disk; what is finished is kept.
    """
    return discovery(*request, **settings).table(workdir)


def effects(
    model: Model,
    dictionary: Dictionary,
    prompts: Sequence[Prompt | PromptRecord],
    sources: tuple[Ids, Ids],
    targets: tuple[Ids, Ids],
    *,
    positions: Ids | None = None,
    derivative: Derivative = "total",
    change: Change = "activation",
    position: str = "last",
    scope: str = SCOPE,
    rows: int | None = None,
    parallel: RowParallel | None = None,
) -> Discovery:
    """The effects of given sources on given targets, pair by pair, as a job that lasts.

    Args:
        sources, targets: layers and features of N pairs; a pair given twice is read once.
        positions: of the sources, [N], -1 for a sum over the scope; None: all summed.
        model, dictionary, prompts, derivative, change, position, scope, rows, parallel: see `discovery`.

    Raises:
        ValueError: see `discovery`; or a source that is not of a lower layer than its target, or has no planned value.
    """
    dictionary = _checked(model, dictionary)
    pairs = Pairs.of(dictionary, sources, targets, positions)
    values = PlannedValues.of(dictionary, change, model.config.num_layers)
    pairs.check_planned(dictionary.config.layers, values)
    return Discovery(
        model, dictionary, _placed(model, prompts, position, scope), pairs.targets,
        Reading(_derivative(derivative), "sum", 0), values, pairs=pairs,
        rows=None if rows is None else scalars.integer(rows, "rows", 1), parallel=parallel,
    )  # fmt: skip


def effects_of(*request: Any, workdir: Path | None = None, **settings: Any) -> pa.Table:
    """The table of `effects` (see there): a row for each pair and prompt, of the stratum `asked`, in the order of
    targets and sources.

    Args:
        workdir: as in `discover`.

    Raises:
        ValueError, NotFiniteError, Stopped: see `effects` and `discover`.
    """
    return effects(*request, **settings).table(workdir)


def _checked(model: Model, dictionary: Dictionary) -> Dictionary:
    """The dictionaries under the model's names."""
    check_model(model)
    if not isinstance(dictionary, Dictionary):
        raise ValueError(
            f"dictionary: got {type(dictionary).__name__}; needs dictionaries in memory whose features write to "
            "their own layer"
        )
    dictionary = fitted(dictionary, model.config, model.name)
    if len(dictionary.config.layers) < 2:
        raise ValueError(f"dictionary: of layer {dictionary.config.layers[0]} alone; needs two layers or more")
    return dictionary


def _derivative(derivative: Derivative) -> Derivative:
    if derivative not in DERIVATIVES:
        raise ValueError(f"derivative: got {scalars.shown(derivative)}; needs one of {', '.join(DERIVATIVES)}")
    return derivative


def _placed(
    model: Model, prompts: Sequence[Prompt | PromptRecord], position: str, scope: str
) -> tuple[PlacedPrompt, ...]:
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of texts, token ids or records")
    return placed_prompts(model, [prompt_record(i, p) for i, p in enumerate(prompts)], position, scope)
