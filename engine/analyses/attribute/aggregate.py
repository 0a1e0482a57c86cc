"""What the graphs of a behaviour have in common: means over all prompts, with intervals.

    attribution_s = mean_p A_p[target, s]         total_s = mean_p (effect over all paths)_p[s]
    edge_ts = mean_p A_p[t, s]

Prompts in which a feature is inactive count as 0: the mean is over all prompts, not over those in which it shows, so a
feature that matters in few prompts does not look like one that matters in all. Weights keep their signs. Under a node
budget, active features beyond it count as 0 too: they were less influential than all that were taken.

Nodes are joined by layer, feature and place (`keys`). Those with the largest mean |total effect| are kept, and of each
node the sources with the largest mean |weight|. With `held_out`, they are chosen on the other prompts and all means and
intervals are of those held out (`stats.splits`); without it of the prompts that chose them, which describes these
prompts and claims too much for others. Intervals are `stats.paired`'s: none of fewer than 10 prompts, nor of a node or
edge that shows in fewer than 6.

Graphs are read three times, one at a time. Memory: N nodes x P prompts, and stored edges among the N nodes.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array

from causeway.engine import scalars
from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.keys import Key, column_keys, unpack
from causeway.engine.stats.paired import PairedMean, paired_mean
from causeway.engine.stats.splits import check_share, held_out

OUTPUT = -1


@dataclasses.dataclass(frozen=True)
class AggregateSettings:
    """What is kept of a behaviour's graphs, and how intervals are made.

    Attributes:
        max_nodes: nodes kept. edges_per_node: sources kept of each. confidence: of intervals over prompts. seed: of
            which prompts are held out. held_out: share of the prompts that estimate what the others choose; 0 takes
            all for both.
    """

    max_nodes: int = 200
    edges_per_node: int = 10
    confidence: float = 0.95
    seed: int = 0
    held_out: float = 0.0

    def __post_init__(self):
        scalars.seed(self.seed)
        check_share(self.held_out)
        for name in ("max_nodes", "edges_per_node"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}; needs 1 or more")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence: got {self.confidence}; needs a share between 0 and 1")


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """Means over P prompts.

    Attributes:
        prompts: P, those held out where some are. chosen_on: prompts that chose nodes and edges.
        nodes: [N] what they are. attribution: of each, direct, on the target. total: over all paths.
        activation: [N] mean, zeros counted. frequency: [N] share of prompts in which the node is there.
        target, source: [E] numbers of nodes; target -1 is the output. weight: of each edge. edge_frequency: [E] share
            of prompts in which the edge is not 0. settings: what was asked.
    """

    prompts: int
    chosen_on: int
    nodes: tuple[Key, ...]
    attribution: PairedMean
    total: PairedMean
    activation: Float[np.ndarray, " N"]
    frequency: Float[np.ndarray, " N"]
    target: Int[np.ndarray, " E"]
    source: Int[np.ndarray, " E"]
    weight: PairedMean
    edge_frequency: Float[np.ndarray, " E"]
    settings: AggregateSettings


Graphs = Iterable[tuple[Mapping[str, int], AttributionGraph]]


def aggregate(
    read: Callable[[], Graphs],
    settings: AggregateSettings = AggregateSettings(),
    ids: Sequence[str] | None = None,
) -> Aggregate:
    """Aggregate graphs.

    Args:
        read: gives every graph with its prompt's roles (name -> position); called three times.
        settings: what is kept.
        ids: of the graphs' prompts, by which they are held out (default: their numbers).

    Raises:
        ValueError: no graphs, or one alone of which a share is held out.
    """
    roles = [own for own, _ in read()]
    names = sorted({name for own in roles for name in own})
    if not roles:
        raise ValueError("graphs: none to aggregate; needs one or more")
    apart = held_out(range(len(roles)) if ids is None else ids, settings.held_out, settings.seed)
    choosing = (keyed for keyed, out in zip(_keyed(read, names), apart, strict=True) if not out)
    keys = _largest(choosing, settings.max_nodes)
    values = np.zeros((4, len(keys), len(roles)))
    edges = []
    for p, (own, graph) in enumerate(_keyed(read, names)):
        place, node = _found(own, keys)
        columns = (_direct(graph), graph.total_effects(), _activations(graph), np.ones(len(own)))
        values[:, node, p] = [column[place] for column in columns]
        edges.append(_edges_among(graph, place, node, p))
    return _package(keys, names, values, np.concatenate(edges, axis=1), apart, settings)


def _keyed(read: Callable[[], Graphs], names: Sequence[str]) -> Iterator[tuple[np.ndarray, AttributionGraph]]:
    for roles, graph in read():
        yield column_keys(graph, roles, names), graph


def _largest(graphs: Iterator[tuple[np.ndarray, AttributionGraph]], count: int) -> np.ndarray:
    """Sorted keys of the nodes with the largest mean |total effect|."""
    keys, sums = np.zeros(0, np.int64), np.zeros(0)
    for own, graph in graphs:
        both = np.concatenate([keys, own])
        keys, where = np.unique(both, return_inverse=True)
        added = np.concatenate([sums, np.abs(graph.total_effects())])
        sums = np.bincount(where, added, minlength=len(keys)).astype(np.float64)
    order = np.argsort(-sums, kind="stable")[:count]
    return np.sort(keys[order[sums[order] > 0]])


def _found(own: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of a graph that are among the kept nodes, and those nodes' numbers."""
    node = np.minimum(np.searchsorted(keys, own), max(len(keys) - 1, 0))
    place = np.flatnonzero(keys[node] == own) if len(keys) else np.zeros(0, np.int64)
    return place, node[place]


def _direct(graph: AttributionGraph) -> Float[np.ndarray, " m"]:
    return graph.edges[len(graph.features) :].T @ graph.probabilities


def _activations(graph: AttributionGraph) -> Float[np.ndarray, " m"]:
    return np.concatenate([graph.activations, np.zeros(graph.edges.shape[1] - len(graph.features))])


def _edges_among(graph: AttributionGraph, place: np.ndarray, node: np.ndarray, prompt: int) -> Float[np.ndarray, "4 e"]:
    """(target, source, prompt, weight) of a graph's edges among kept nodes, those into the output included."""
    features = place < len(graph.features)
    inner = coo_array(csr_array(graph.edges[place[features]])[:, place])
    into = _direct(graph)[place]
    target = np.concatenate([node[features][inner.row], np.full(len(node), OUTPUT)])
    source = np.concatenate([node[inner.col], node])
    weight = np.concatenate([inner.data, into])
    return np.stack([target, source, np.full(len(target), prompt), weight]).astype(np.float64)[:, weight != 0]


def _package(
    keys: np.ndarray,
    names: Sequence[str],
    values: np.ndarray,
    edges: np.ndarray,
    apart: Bool[np.ndarray, " P"],
    settings: AggregateSettings,
) -> Aggregate:
    def means(rows: np.ndarray) -> PairedMean:
        return paired_mean(rows, confidence=settings.confidence)

    estimating = apart if apart.any() else ~apart
    pairs, which = np.unique(edges[:2].astype(np.int64), axis=1, return_inverse=True)
    sizes = np.where(apart[edges[2].astype(int)], 0, np.abs(edges[3]))
    kept = _strongest(pairs, np.bincount(which, sizes, minlength=pairs.shape[1]), settings.edges_per_node)
    rows = np.full(pairs.shape[1], -1)
    rows[kept] = np.arange(len(kept))
    weights = np.zeros((len(kept), len(apart)))
    mine = rows[which] >= 0
    weights[rows[which[mine]], edges[2, mine].astype(int)] = edges[3, mine]
    weights, values = weights[:, estimating], values[:, :, estimating]
    return Aggregate(
        prompts=int(estimating.sum()),
        chosen_on=int((~apart).sum()),
        nodes=tuple(unpack(key, names) for key in keys),
        attribution=means(values[0]),
        total=means(values[1]),
        activation=values[2].mean(axis=1),
        frequency=values[3].mean(axis=1),
        target=pairs[0, kept],
        source=pairs[1, kept],
        weight=means(weights),
        edge_frequency=(weights != 0).mean(axis=1),
        settings=settings,
    )


def _strongest(pairs: Int[np.ndarray, "2 E"], sums: Float[np.ndarray, " E"], count: int) -> Int[np.ndarray, " kept"]:
    """Edges with the `count` largest sums of each target, in the order of `pairs`."""
    order = np.lexsort((-sums, pairs[0]))
    target = pairs[0, order]
    rank = np.arange(len(order)) - np.searchsorted(target, target)
    return np.sort(order[(rank < count) & (sums[order] > 0)])
