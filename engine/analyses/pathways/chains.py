"""Chains A -> B1 -> ... -> Bm -> C of validated pairs, chosen to be scored by measured mediation.

Chains are chosen by what discovery says of their pairs, on the other half of the prompts: a family of at most so many,
those whose weakest pair is strongest. Pairs are validated on the prompts that test mediation, and the two tests are not
independent: where B adds a fixed share of what A does to it, what is mediated is a multiple of A's effect on B, and
each chain of a falsely validated pair has the p of that pair. Among chains of validated pairs p is then as small as
that choice makes it. So nothing is conditioned on: the family stands before the estimation half is looked at, and a
chain of it whose pairs are not all validated is not run and counts with p = 1,

    P(p' <= t) = P(p <= t and all pairs are validated) <= P(p <= t) <= t

however the two depend on each other (`tests/engine/analyses/pathways/test_chains.py` has the simulation). What is left:
`mediated` and `share` of chains that passed are, like `effect` of validated pairs, too large by what passing asks.

What is measured along them is in `mediation`. Cost: that of the chains kept.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from causeway.engine.analyses.pathways.selection import SelectedPairs
from causeway.engine.earlier_results import feature_name

Node = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Chain:
    """Nodes from A to C, and |effect| of the weakest of its pairs by discovery."""

    nodes: tuple[Node, ...]
    weakest: float

    @property
    def inner(self) -> tuple[Node, ...]:
        """B1 to Bm."""
        return self.nodes[1:-1]

    @property
    def length(self) -> int:
        """Pairs of it."""
        return len(self.nodes) - 1

    def __str__(self) -> str:
        return " -> ".join(feature_name(layer, feature) for layer, feature in self.nodes)


def chains_of(pairs: SelectedPairs, *, longest: int, most: int) -> tuple[list[Chain], int]:
    """Chains of two measured pairs or more, those whose weakest pair is strongest first; and how many there are.

    Pairs are added from the strongest by discovery on: what a pair completes has it as its weakest, so that no more
    chains are made than are kept and those of the last pair.

    Args:
        longest: pairs of a chain, at most. most: chains kept.
    """
    edges = list(zip(pairs.source.pairs, pairs.target.pairs, strict=True))
    strength = np.abs(pairs.effect)
    above: dict[Node, list[Node]] = {}
    below: dict[Node, list[Node]] = {}
    found: list[Chain] = []
    for number in sorted(range(len(edges)), key=lambda number: (-strength[number], edges[number])):
        if len(found) >= most:
            break
        source, target = edges[number]
        found += [
            Chain((*reversed(head), *tail), float(strength[number]))
            for head in _ways(below, (source,), longest)
            for tail in _ways(above, (target,), longest + 1 - len(head))
            if len(head) + len(tail) > 2
        ]
        above.setdefault(source, []).append(target)
        below.setdefault(target, []).append(source)
    return sorted(found, key=lambda chain: (-chain.weakest, chain.nodes))[:most], _count(edges, longest)


def _ways(steps: Mapping[Node, list[Node]], way: tuple[Node, ...], most: int) -> Iterator[tuple[Node, ...]]:
    """A way and all that go on from its end, of so many nodes at most."""
    yield way
    if len(way) < most:
        for node in steps.get(way[-1], ()):
            yield from _ways(steps, (*way, node), most)


def _count(edges: Sequence[tuple[Node, Node]], longest: int) -> int:
    """Chains of 2 to `longest` pairs: a chain of one pair more goes on from the end of each."""
    ending, count = Counter(target for _, target in edges), 0
    for _ in range(2, longest + 1):
        longer: Counter[Node] = Counter()
        for source, target in edges:
            longer[target] += ending[source]
        ending, count = longer, count + longer.total()
    return count


def with_all_pairs(
    chains: Sequence[Chain], pairs: SelectedPairs, validated: Bool[np.ndarray, " K"]
) -> list[Chain]:  # fmt: skip
    """The chains whose pairs are all validated."""
    edges = zip(pairs.source.pairs, pairs.target.pairs, validated.tolist(), strict=True)
    kept = {(source, target) for source, target, holds in edges if holds}
    return [chain for chain in chains if kept.issuperset(itertools.pairwise(chain.nodes))]
