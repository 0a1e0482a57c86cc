"""The replay of selected pairs: every source set on every prompt of the estimation half, and as many random features.

    row      a prompt, a source, a draw: -1 the source itself, 0 and on random features of equal push (`set_sources`)
    stored   of each row and each pair of its source: the change of the target's pre-activation and activation at the
             prompt's last token, its `clean` activation, `moved`, the sum over tokens of the source's own planned
             change v - f, and `source`, that of its clean activation f

One pass of a source serves all its targets, and ends at the layer of the highest. A unit is some sources on some
prompts of one bucket.

Shapes: P prompts, N sources, K pairs, n draws. Cost: P N (1 + n) rows where the source changes at all.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.pathways.passes import Derivative, Nodes, Passes, Slots
from causeway.engine.analyses.pathways.prompts import PlacedPrompt
from causeway.engine.analyses.pathways.selection import SelectedPairs
from causeway.engine.analyses.pathways.set_sources import in_scope, moved, random_writers, slots_of
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.outcome.clean_passes import group_size
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "2"
SCHEMA = pa.schema([
    ("prompt", pa.int32()), ("pair", pa.int32()), ("draw", pa.int32()), ("pre", pa.float64()),
    ("activation", pa.float64()), ("clean", pa.float64()), ("moved", pa.float64()),
    ("source", pa.float64()),
])  # fmt: skip
# Rows of a unit, at most: what a kill loses. Prompts of a unit share its clean passes.
UNIT_ROWS, UNIT_PROMPTS = 4096, 16


@dataclasses.dataclass(frozen=True)
class Replay(Job):
    """Everything a unit needs.

    Attributes:
        model, dictionary: loaded. prompts: of the estimation half.
        pairs: measured. values: [N] what each distinct source is set to.
        derivative: which one the measurement is the counterpart of.
        draws: random features of each source. seed: of them.
        parallel: devices to spread rows over (default: those of the weights).
    """

    model: Model
    dictionary: InMemory
    prompts: tuple[PlacedPrompt, ...]
    pairs: SelectedPairs
    values: Float[np.ndarray, " N"]
    derivative: Derivative
    draws: int
    seed: int
    parallel: RowParallel | None = None

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        parts = plan_parts(self.model, self.dictionary, self.prompts) | {
            "pairs": config_sha256([self.pairs.source.pairs, self.pairs.target.pairs, self.values.tolist()]),
            "version": ROWS_VERSION,
        }
        config = {
            "numerics": numerics_of(self.model.transformer, self.dictionary), "prompts": len(self.prompts),
            "pairs": len(self.pairs), "derivative": self.derivative, "draws": self.draws,
            "seed": self.seed,
        }  # fmt: skip
        sizes = tuple(self._size(*unit) for unit in self._units)
        return Plan("pathways", config, parts, sizes, Layout(SCHEMA, "replay"), {"model": self.model.name})

    def unit(self, index: int) -> UnitResult:
        """All rows of some sources on some prompts."""
        numbers, own = self._units[index]
        sources, _ = self.pairs.sources
        source, values = Nodes(sources.layer[own], sources.feature[own]), self.values[own]
        targets, target = self.pairs.targets
        prompts = [self.prompts[n] for n in numbers]
        passes = Passes(self.model, self.dictionary, prompts, targets, self.derivative, self.parallel)
        within = in_scope(passes)
        active = passes.activations(source)
        change = moved(values, active, within)
        pre, activation = self._changes(passes, own, self._slots(source, values, change, within))
        s, d, pair = self._order(own)
        at = np.repeat(np.arange(len(numbers)), len(pair))
        s, d, pair = (np.tile(column, len(numbers)) for column in (s, d, pair))
        where = at, s, d, target[pair]
        return UnitResult({
            "prompt": np.array(numbers)[at], "pair": pair, "draw": d - 1, "pre": pre[where],
            "activation": activation[where], "clean": passes.clean[at, target[pair], 1],
            "moved": change.sum(axis=2)[s, at], "source": np.where(within, active, 0.0).sum(axis=2)[s, at],
        })  # fmt: skip

    def _slots(
        self, source: Nodes, values: np.ndarray, change: Float[np.ndarray, "S P W"], within: Bool[np.ndarray, "P W"]
    ) -> Slots:
        """Every source and its random features, rows in the order (prompt, source, 1 + draw)."""
        shape = (len(within), len(source), 1 + self.draws)
        rows = np.arange(np.prod(shape)).reshape(shape)
        writers = [source.feature, *random_writers(source, self.dictionary, self.draws, self.seed).T]
        return Slots.joined([
            slots_of(source, values, change, within, rows[..., d].T, writer) for d, writer in enumerate(writers)
        ])  # fmt: skip

    def _changes(self, passes: Passes, own: Sequence[int], slots: Slots) -> Float[np.ndarray, "2 P S d T"]:
        """Changes of the sources' targets under every row, of the pre-activation and of the activation."""
        shape = (len(passes.prompts), len(own), 1 + self.draws)
        prompts = np.repeat(np.arange(shape[0]), shape[1] * shape[2])
        highest = np.tile(np.repeat(self._highest[own], shape[2]), shape[0])
        found = np.zeros((2, len(prompts), len(passes.targets)))
        for some in passes.changes(slots, prompts, read=highest):
            found[0, some.rows], found[1, some.rows] = some.pre, some.activation
        return found.reshape(2, *shape, -1)

    def _order(self, own: Sequence[int]) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"], Int[np.ndarray, " r"]]:
        """The rows of one prompt: the source among the unit's, 1 + draw, and the pair."""
        _, which = self.pairs.sources
        pairs = [np.flatnonzero(which == number) for number in own]
        rows = [(s, d, pair) for s, mine in enumerate(pairs) for d in range(1 + self.draws) for pair in mine]
        s, d, pair = np.array(rows).T
        return s, d, pair

    @functools.cached_property
    def _units(self) -> list[tuple[list[int], list[int]]]:
        """Numbers of the prompts and of the sources of each unit."""
        sources, _ = self.pairs.sources
        return [
            (numbers, own)
            for numbers in prompt_groups(self.model.config, self.prompts)
            for own in _chunks(len(sources), max(1, UNIT_ROWS // (len(numbers) * (1 + self.draws))))
        ]

    def _size(self, numbers: Sequence[int], own: Sequence[int]) -> int:
        """Stored rows of a unit."""
        return len(numbers) * (1 + self.draws) * int(self._counts[own].sum())

    @functools.cached_property
    def _highest(self) -> Int[np.ndarray, " N"]:
        """The highest layer of a target of each source."""
        sources, which = self.pairs.sources
        found = np.zeros(len(sources), int)
        np.maximum.at(found, which, self.pairs.target.layer)
        return found

    @functools.cached_property
    def _counts(self) -> Int[np.ndarray, " N"]:
        """Pairs of each source."""
        return np.bincount(self.pairs.sources[1])


def prompt_groups(config: ModelConfig, prompts: Sequence[PlacedPrompt]) -> Iterator[list[int]]:
    """Numbers of prompts that share clean passes, all of one bucket."""
    buckets: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        buckets.setdefault(bucket_width(len(prompt.tokens)), []).append(number)
    for width, numbers in sorted(buckets.items()):
        size = min(UNIT_PROMPTS, group_size(config, width))
        yield from ([numbers[i] for i in part] for part in _chunks(len(numbers), size))


def plan_parts(model: Model, dictionary: InMemory, prompts: Sequence[PlacedPrompt]) -> dict[str, str]:
    """What of the model, the dictionary and the prompts decides numbers."""
    placed = [[list(map(int, prompt.tokens)), list(prompt.sources)] for prompt in prompts]
    return {
        "weights": model.fingerprint, "dictionary": dictionary_digest(dictionary), "prompts": config_sha256(placed),
    }  # fmt: skip


def _chunks(count: int, size: int) -> Iterator[list[int]]:
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the replay found, prompts in their order.

    Attributes:
        pre, activation: [K, P] changes of each pair's target. clean: [K, P] its activation without.
        moved, source: [K, P] planned change and clean activation of its source, summed over its tokens.
        random: [K, n, P] changes of its pre-activation by random features.
    """

    pre: Float[np.ndarray, "K P"]
    activation: Float[np.ndarray, "K P"]
    clean: Float[np.ndarray, "K P"]
    moved: Float[np.ndarray, "K P"]
    source: Float[np.ndarray, "K P"]
    random: Float[np.ndarray, "K n P"]


def measured(tables: Iterator[pa.Table], pairs: int, prompts: int, draws: int) -> Measured:
    """The rows of all units by pair, draw and prompt."""
    pre = np.full((pairs, 1 + draws, prompts), np.nan)
    own = {name: np.full((pairs, prompts), np.nan) for name in ("activation", "clean", "moved", "source")}
    for table in tables:
        pair, draw, prompt = (table[name].to_numpy() for name in ("pair", "draw", "prompt"))
        pre[pair, draw + 1, prompt] = table["pre"].to_numpy()
        mine = draw == -1
        for name, values in own.items():
            values[pair[mine], prompt[mine]] = table[name].to_numpy()[mine]
    return Measured(pre[:, 0], **own, random=pre[:, 1:])
