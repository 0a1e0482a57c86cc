"""Which words are kept: those that push the direction furthest the wrong way on the prompts that choose.

    push(w) = mean over groups of prompts of (projection with w - projection as the prompt stands)

Of the words that neurons say (or that are given) the `keep` with the lowest push are kept. Two arms go with them: for
each kept word a random one of its slot and length, drawn before anything was measured; and as many words with the
highest push, of those whose weight is positive, or of the words given where these have no weights.

Whether neurons say which words push is told by all words that were tried, kept or not: the area

    P(push of a word expected to push the wrong way < push of a random word) + ties / 2

with its interval and its test; the word is the unit.

Shapes: F fillings, P prompts that choose. Cost: F P + P passes.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy import sparse

from causeway.engine.analyses.adversarial.fillings import Filling, Pools, Side, length
from causeway.engine.analyses.adversarial.measure import Gauge, spread
from causeway.engine.stats.auc import Area, area

ADVERSARIAL, RANDOM, OPPOSITE, CLEAN = "adversarial", "random", "opposite", "clean"


@dataclasses.dataclass(frozen=True)
class Search:
    """What was found on the choosing prompts.

    Attributes:
        pools: what was tried. push: of each filling.
        arms: the fillings kept, by arm; an arm for which there are none is absent.
        area: of the pushes of expected words against those of random ones.
    """

    pools: Pools
    push: Mapping[Filling, float]
    arms: Mapping[str, tuple[Filling, ...]]
    area: Area


def searched(gauge: Gauge, side: Side, tried: Pools, keep: int, seed: int = 0) -> Search:
    """Measure every filling on the choosing prompts and keep some.

    Args:
        keep: words of an arm.

    Raises:
        ValueError: no prompt is answered rightly as it stands.
        NotFiniteError: a pass is not all numbers.
    """
    if not (gauge.margins(side.clean, "choosing-clean") > 0).any():
        raise ValueError(
            f"prompts: none of the {len(side.clean)} that choose is answered rightly as it stands, so there is nothing "
            "to push; give prompts that the model can answer"
        )
    fillings = tried.all
    made = [side.filled(filling) for filling in fillings]
    flat = [prompt for row in made for prompt in row if prompt is not None]
    clean = gauge.projections(side.clean, "choosing-clean")
    found = spread(gauge.projections(flat, "choosing"), [[prompt is not None for prompt in row] for row in made])
    push = dict(zip(fillings, _pushes(found - clean, side.clusters).tolist(), strict=True))
    pushes = np.array([push[filling] for filling in (*tried.random, *tried.wrong)])
    second = np.arange(len(pushes)) >= len(tried.random)
    return Search(tried, push, _arms(tried, push, keep, side), area(-pushes, second, seed=seed))


def _pushes(changes: Float[np.ndarray, "F P"], clusters: Sequence[str]) -> Float[np.ndarray, " F"]:
    return np.nanmean(over_groups(changes, clusters), axis=1)


def over_groups(values: Float[np.ndarray, "rows P"], clusters: Sequence[str]) -> Float[np.ndarray, "rows C"]:
    """Mean of each group of prompts, NaN where none has a value."""
    names, which = np.unique(list(clusters), return_inverse=True)
    member = sparse.csr_array((np.ones(len(which)), (np.arange(len(which)), which)), (len(which), len(names)))
    known = ~np.isnan(values)
    counts = known @ member
    return (np.where(known, values, 0.0) @ member) / np.where(counts, counts, np.nan)


def _arms(tried: Pools, push: Mapping[Filling, float], keep: int, side: Side) -> dict[str, tuple[Filling, ...]]:
    kept = tuple(sorted(tried.wrong, key=lambda filling: push[filling])[:keep])
    others = tried.right or [filling for filling in tried.wrong if filling not in kept]
    opposite = tuple(sorted(others, key=lambda filling: -push[filling])[:keep])
    arms = {ADVERSARIAL: kept, RANDOM: _matched(kept, tried.random, side), OPPOSITE: opposite}
    return {name: fillings for name, fillings in arms.items() if fillings}


def _matched(kept: Sequence[Filling], random: Sequence[Filling], side: Side) -> tuple[Filling, ...]:
    """For each kept word the first random one of its slot and length that is left, else one of another length."""
    left, found = list(random), list[Filling]()
    for filling in kept[: len(left)]:
        own = filling.slot, length(filling, side)
        like = [(other.slot == own[0]) + ((other.slot, length(other, side)) == own) for other in left]
        found.append(left.pop(int(np.argmax(like))))
    return tuple(found)
