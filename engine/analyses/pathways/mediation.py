"""Mediation along chains A -> B1 -> ... -> Bm -> C (`chains`): what of A's change of C passes through all of B1 to Bm.

A is set as in the replay, and inner nodes are clamped: kept at their clean values at every token from A's first on, on
each prompt. With e(S) the change of C under A while the set S of inner nodes is clamped, e({}) the total,

    mediated = sum over nonempty S of (-1)^(|S| + 1) (e({}) - e(S))

which for one inner node is total - effect with B clamped. For several it is the part of the total that passes through
all of them, by inclusion and exclusion: what clamping S takes away is what passes through one of S or more. Where
effects add (a linear network) this is exact; elsewhere it is the definition. Edges are not multiplied.

    share = mean mediated / mean total, with a percentile interval over resamples of prompts

Shapes: C chains, P prompts, m inner nodes. Cost: 2^m passes of a prompt for each A and inner nodes, whatever the ends.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from causeway.engine.analyses.pathways.chains import Chain, Node
from causeway.engine.analyses.pathways.passes import Derivative, Nodes, Passes, Slots
from causeway.engine.analyses.pathways.prompts import PlacedPrompt
from causeway.engine.analyses.pathways.replay import plan_parts, prompt_groups
from causeway.engine.analyses.pathways.set_sources import in_scope, moved, slots_of
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.stats.group_bootstrap import FEWEST, resampled
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import paired_mean
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.table import nan_as_null

ROWS_VERSION = "1"
# Inner nodes of a chain, at most: each doubles the passes.
MOST_INNER = 3
UNIT_ROWS = 1024
SCHEMA = pa.schema([
    ("prompt", pa.int32()), ("chain", pa.int32()), ("clamped", pa.int32()), ("pre", pa.float64()),
])  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mediation(Job):
    """Everything a unit needs.

    Attributes:
        model, dictionary: loaded. prompts: of the estimation half. chains: scored. values: what each A is set to.
        derivative: as in the replay.
        parallel: devices to spread rows over (default: those of the weights).
    """

    model: Model
    dictionary: InMemory
    prompts: tuple[PlacedPrompt, ...]
    chains: tuple[Chain, ...]
    values: tuple[float, ...]
    derivative: Derivative
    parallel: RowParallel | None = None

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        parts = plan_parts(self.model, self.dictionary, self.prompts) | {
            "chains": config_sha256([[list(chain.nodes) for chain in self.chains], list(self.values)]),
            "version": ROWS_VERSION,
        }
        config = {
            "numerics": numerics_of(self.model.transformer, self.dictionary), "prompts": len(self.prompts),
            "chains": len(self.chains), "derivative": self.derivative,
        }  # fmt: skip
        sizes = tuple(len(numbers) * sum(map(_subsets, own)) for numbers, own in self._units)
        return Plan("pathways", config, parts, sizes, Layout(SCHEMA, "mediation"), {"model": self.model.name})

    def unit(self, index: int) -> UnitResult:
        """All sets of clamped nodes of some chains, on some prompts."""
        numbers, own = self._units[index]
        prompts = [self.prompts[n] for n in numbers]
        ends = Nodes.of(sorted({chain.nodes[-1] for chain in own}))
        passes = Passes(self.model, self.dictionary, prompts, ends, self.derivative, self.parallel)
        runs = _runs(own)
        slots, clamps = self._slots(passes, runs)
        flat = np.zeros((len(runs) * len(numbers), len(ends)))
        for some in passes.changes(slots, np.tile(np.arange(len(numbers)), len(runs)), clamps):
            flat[some.rows] = some.pre
        found = flat.reshape(len(runs), len(numbers), len(ends))
        place, end = {run: at for at, run in enumerate(runs)}, {node: at for at, node in enumerate(ends.pairs)}
        first = self.chains.index(own[0])
        rows = [
            (first + at, mask, place[chain.nodes[0], _clamped(chain, mask)], end[chain.nodes[-1]])
            for at, chain in enumerate(own) for mask in range(_subsets(chain))
        ]  # fmt: skip
        chain, mask, run, target = np.array(rows).T
        prompt = np.repeat(np.arange(len(numbers)), len(rows))
        chain, mask, run, target = (np.tile(column, len(numbers)) for column in (chain, mask, run, target))
        return UnitResult({
            "prompt": np.array(numbers)[prompt], "chain": chain, "clamped": mask, "pre": found[run, prompt, target],
        })  # fmt: skip

    def _slots(self, passes: Passes, runs: Sequence[tuple[Node, tuple[Node, ...]]]) -> tuple[Slots, Slots]:
        """A set at its tokens, and clamped nodes at their clean values from A's first token on; a row a run, prompt."""
        nodes = Nodes.of(sorted({node for start, clamped in runs for node in (start, *clamped)}))
        clean, at = passes.activations(nodes), {node: number for number, node in enumerate(nodes.pairs)}
        value = {chain.nodes[0]: v for chain, v in zip(self.chains, self.values, strict=True)}
        within = in_scope(passes)
        every = np.arange(within.shape[1]) < passes.lengths[:, None]
        starts = Nodes.of([start for start, _ in runs])
        values = np.array([value[start] for start, _ in runs])
        change = moved(values, clean[[at[start] for start, _ in runs]], within)
        row = np.arange(len(runs) * len(within)).reshape(len(runs), -1)
        since = np.maximum.accumulate(change != 0, axis=2) & every
        clamps = [
            _clamp(node, since[number], clean[at[node]], row[number])
            for number, (_, clamped) in enumerate(runs) for node in clamped
        ]  # fmt: skip
        return slots_of(starts, values, change, within, row, starts.feature), Slots.joined(clamps)

    @functools.cached_property
    def _units(self) -> list[tuple[list[int], list[Chain]]]:
        return [
            (numbers, chunk)
            for numbers in prompt_groups(self.model.config, self.prompts)
            for chunk in _chunks(self.chains, UNIT_ROWS // len(numbers))
        ]


def _clamp(node: Node, where: Bool[np.ndarray, "P W"], values: Float[np.ndarray, "P W"], row: np.ndarray) -> Slots:
    prompt, position = np.nonzero(where)
    layer, feature = (np.full(len(prompt), number, np.int32) for number in node)
    return Slots(row[prompt], layer, feature, position, position + 1, values[prompt, position], feature)


def _runs(chains: Sequence[Chain]) -> list[tuple[Node, tuple[Node, ...]]]:
    """What is run: A, and the nodes clamped with it, each once."""
    return sorted({(chain.nodes[0], _clamped(chain, mask)) for chain in chains for mask in range(_subsets(chain))})


def _subsets(chain: Chain) -> int:
    return 1 << len(chain.inner)


def _clamped(chain: Chain, mask: int) -> tuple[Node, ...]:
    """The inner nodes of a mask's bits."""
    return tuple(node for bit, node in enumerate(chain.inner) if mask >> bit & 1)


def _chunks(chains: Sequence[Chain], rows: int) -> Iterator[list[Chain]]:
    """Neighbouring chains whose sets come to about so many rows."""
    chunk: list[Chain] = []
    for chain in chains:
        if chunk and sum(map(_subsets, chunk)) + _subsets(chain) > rows:
            yield chunk
            chunk = []
        chunk.append(chain)
    yield chunk


def mediated(tables: Iterator[pa.Table], chains: Sequence[Chain], prompts: int) -> Float[np.ndarray, "2 C P"]:
    """Total and mediated change of each chain's end on each prompt, from the rows of all units."""
    effects = np.full((len(chains), prompts, 1 << MOST_INNER), np.nan)
    for table in tables:
        chain, prompt, mask = (table[name].to_numpy() for name in ("chain", "prompt", "clamped"))
        effects[chain, prompt, mask] = table["pre"].to_numpy()
    total = effects[..., 0]
    through = np.zeros_like(total)
    for at, chain in enumerate(chains):
        for mask in range(1, _subsets(chain)):
            sign = 1 if mask.bit_count() % 2 else -1
            through[at] += sign * (total[at] - effects[at, :, mask])
    return np.stack([total, through])


def chain_table(
    chains: Sequence[Chain], total: Float[np.ndarray, "C P"], through: Float[np.ndarray, "C P"], *,
    family: int, alpha: float, correction: Method, seed: int,
) -> pa.Table:  # fmt: skip
    """A row a chain: chains.parquet. `confirmed`: q < alpha, and an interval that leaves 0 out.

    Args:
        family: chains that were chosen; those beyond `chains` have a pair that is not validated, and p = 1.
    """
    found = paired_mean(through)
    q = adjust(np.append(found.p, np.ones(family - len(chains))), correction).q[: len(chains)]
    share, low, high = _shares(total, through, seed)
    with np.errstate(invalid="ignore"):
        confirmed = (q < alpha) & ((found.low > 0) | (found.high < 0))
    columns = {
        "path": pa.array([str(chain) for chain in chains], pa.string()),
        "length": pa.array([chain.length for chain in chains], pa.int32()),
        "total": total.mean(axis=1), "mediated": found.effect,
        "low": nan_as_null(found.low), "high": nan_as_null(found.high),
        "p": nan_as_null(found.p), "q": nan_as_null(q),
        "share": nan_as_null(share), "share_low": nan_as_null(low), "share_high": nan_as_null(high),
        "weakest": np.array([chain.weakest for chain in chains], np.float64),
        "confirmed": pa.array(confirmed, pa.bool_(), mask=np.isnan(q)),
    }  # fmt: skip
    return pa.table(columns)


def _shares(
    total: Float[np.ndarray, "C P"], through: Float[np.ndarray, "C P"], seed: int
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Mediated / total with its interval; NaN where the total is 0, or prompts are few."""
    prompts = total.shape[1]
    weights = resampled(prompts, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total.mean(axis=1) != 0, through.mean(axis=1) / total.mean(axis=1), np.nan)
        drawn = (weights @ through.T) / (weights @ total.T)
    usable = np.isfinite(drawn).all(axis=0) & (prompts >= FEWEST)
    low, high = np.quantile(np.where(usable, drawn, 0.0), [0.025, 0.975], axis=0)
    return share, np.where(usable, low, np.nan), np.where(usable, high, np.nan)
