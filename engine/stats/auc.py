"""How well a score tells two classes apart: the area under its ROC curve, with an interval and a test.

    AUC = P(x > y) + P(x = y) / 2,    x of the second class, y of the first: Mann and Whitney's U over m n

Items may come in clusters (prompts on one fact), which may hold both classes. With V_i = P(x_i > y) + ties / 2 of each
x, W_j = P(x > y_j) + ties / 2 of each y, V_c and W_c their sums over the m_c and n_c items of a cluster c (Obuchowski
1997; where each item is a cluster, DeLong, DeLong and Clarke-Pearson 1988):

    S_vv = C_x / (C_x - 1) sum_c (V_c - m_c AUC)^2 / m^2,  S_ww likewise,
    S_vw = C / (C - 1) sum_c (V_c - m_c AUC) (W_c - n_c AUC) / (m n),    Var = S_vv + S_ww + 2 S_vw

A symmetric interval of that width is wrong near 1, where the variance falls to 0. So the interval holds the areas A
from which the found one is within z standard errors of A's own, Hanley and McNeil's V(A) as Newcombe (2006, method 5)
puts it, times how much larger than V(AUC) the variance was found to be (at least 1):

    |AUC - A| = z sqrt(V(A) max(1, Var / V(AUC)))

Where the classes do not overlap nothing is known of how alike a cluster's items are, and a cluster counts as one item.

Where a confound is held fixed only pairs within a stratum count: AUC is the share of these that are won, V_i and W_j
are counted within the stratum, and V(A) is that of areas weighted by the strata's pairs.

The test deals the scores anew: whole clusters change places with others of as many items, which the null hypothesis
(scores say nothing of labels) leaves as likely as the deal that came. It is exact, for any scores.

What the interval covers, simulated: `tests/engine/stats/test_auc.py`. Shapes: n items. Cost: a sort; the test
`DEALS` n.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, stats

# Fewest clusters with items of a class for which there is an interval.
FEWEST = 4
DEALS = 4_999
_AT_ONCE = 250
# Equal sums differ by rounding.
_TIE = 1e-9
_EDGE = 1e-12


@dataclasses.dataclass(frozen=True)
class Area:
    """An area under a ROC curve.

    Attributes:
        auc: NaN where a class is absent.
        low, high: interval; NaN with fewer than `FEWEST` clusters of a class.
        p: two-sided, of scores that say nothing of the class.
    """

    auc: float
    low: float
    high: float
    p: float


def area(
    scores: Float[np.ndarray, " n"],
    second: Bool[np.ndarray, " n"],
    clusters: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Area:
    """The area, its interval and its test.

    Args:
        scores: of each item.
        second: whether it is of the second class.
        clusters: of each item; None where items are independent.
        confidence: of the interval. seed: key of the deals.
    """
    scores, second = np.asarray(scores, np.float64), np.asarray(second, bool)
    which = _numbers(len(scores), clusters)
    if second.all() or not second.any():
        return Area(np.nan, np.nan, np.nan, np.nan)
    found, low, high = interval(scores, second, clusters, confidence=confidence)
    return Area(found, low, high, permutation_p(scores, second, which, seed))


def mann_whitney(scores: Float[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> float:
    """The area alone; NaN where a class is absent."""
    return float(areas(np.asarray(scores)[None], second)[0])


def areas(
    scores: Float[np.ndarray, "F n"], second: Bool[np.ndarray, " n"], strata: Int[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " F"]:
    """The areas of many scores alone, of pairs within strata; NaN where no stratum holds both classes."""
    won, pairs = np.zeros(len(scores)), 0
    for of in _members(second, strata):
        m, n = int(second[of].sum()), int((~second[of]).sum())
        won += stats.rankdata(scores[:, of], axis=1)[:, second[of]].sum(axis=1) - m * (m + 1) / 2
        pairs += m * n
    return won / pairs if pairs else np.full(len(scores), np.nan)


def interval(
    scores: Float[np.ndarray, " n"], second: Bool[np.ndarray, " n"], clusters: Sequence[str] | None = None,
    strata: Int[np.ndarray, " n"] | None = None, *, confidence: float = 0.95,
) -> tuple[float, float, float]:  # fmt: skip
    """The area of pairs within strata with its interval, as (area, low, high).

    Returns:
        NaN for an area where no stratum holds both classes, and for ends where fewer than `FEWEST` clusters of a class
        are in such strata.
    """
    members = _members(second, strata)
    if not members:
        return np.nan, np.nan, np.nan
    on, which = np.concatenate(members), _numbers(len(scores), clusters)
    numbers = np.repeat(np.arange(len(members)), list(map(len, members)))
    own = np.asarray(scores, np.float64)[on], second[on], np.unique(which[on], return_inverse=True)[1], numbers
    found = float(areas(own[0][None], own[1], numbers)[0])
    return found, *_interval(found, *own, confidence)


def _members(second: Bool[np.ndarray, " n"], strata: Int[np.ndarray, " n"] | None) -> list[Int[np.ndarray, " k"]]:
    """The items of each stratum that holds both classes."""
    every = [np.arange(len(second))] if strata is None else [np.flatnonzero(strata == s) for s in np.unique(strata)]
    return [of for of in every if 0 < second[of].sum() < len(of)]


def _numbers(count: int, clusters: Sequence[str] | None) -> Int[np.ndarray, " n"]:
    """The number of each item's cluster."""
    return np.arange(count) if clusters is None else np.unique(list(clusters), return_inverse=True)[1]


def variance(
    scores: Float[np.ndarray, " n"], second: Bool[np.ndarray, " n"], which: Int[np.ndarray, " n"],
    strata: Int[np.ndarray, " n"] | None = None,
) -> float:  # fmt: skip
    """Obuchowski's variance of the area; `which` is the number of each item's cluster, from 0 on without gaps."""
    members = _members(second, strata)
    pairs = sum(int(second[of].sum()) * int((~second[of]).sum()) for of in members)
    found, off = float(areas(scores[None], second, strata)[0]), np.zeros(len(scores))
    for of in members:
        x, right = scores[of], second[of]
        ranks, own = stats.rankdata(x), np.zeros(len(x))
        own[right], own[~right] = stats.rankdata(x[right]), stats.rankdata(x[~right])
        m, n = int(right.sum()), int((~right).sum())
        # Items of the other class below each item, ties half; above it for the first class.
        place = np.where(right, (ranks - own) / n, 1 - (ranks - own) / m)
        off[of] = (place - found) * np.where(right, n, m) / pairs
    sums = [np.bincount(which, np.where(of, off, 0.0)) for of in (second, ~second)]
    counts = [len(np.unique(which[of])) for of in (second, ~second)]
    parts = [c / max(c - 1, 1) * np.square(o).sum() for c, o in zip(counts, sums, strict=True)]
    total = which.max() + 1
    return float(sum(parts) + 2 * total / max(total - 1, 1) * (sums[0] * sums[1]).sum())


def _interval(
    found: float, scores: Float[np.ndarray, " n"], second: Bool[np.ndarray, " n"], which: Int[np.ndarray, " n"],
    strata: Int[np.ndarray, " n"], confidence: float,
) -> tuple[float, float]:  # fmt: skip
    """The areas that the found one does not refute; every stratum holds both classes."""
    rarer = min(len(np.unique(which[of])) for of in (second, ~second))
    if rarer < FEWEST:
        return np.nan, np.nan
    sizes = [(int(second[strata == s].sum()), int((~second[strata == s]).sum())) for s in np.unique(strata)]

    def own_variance(area: float) -> float:
        pairs = sum(m * n for m, n in sizes)
        return sum((m * n / pairs) ** 2 * _own_variance(area, m, n) for m, n in sizes)

    if found in (0.0, 1.0):
        factor = len(scores) / (which.max() + 1)
    else:
        factor = max(1.0, variance(scores, second, which, strata) / own_variance(found))
    z = stats.norm.isf((1 - confidence) / 2) * np.sqrt(factor)

    def beyond(area: float) -> float:
        return (area - found) ** 2 - z**2 * own_variance(area)

    # At 0 and 1 the found area is a root itself, and not the one that is looked for.
    low = 0.0 if found == 0 else optimize.brentq(beyond, 0.0, min(found, 1 - _EDGE))
    high = 1.0 if found == 1 else optimize.brentq(beyond, max(found, _EDGE), 1.0)
    return float(low), float(high)


def _own_variance(area: float, m: int, n: int) -> float:
    """V(A) of m and n independent items, equal whichever class comes first."""
    more = (m + n) / 2 - 1
    return area * (1 - area) / (m * n) * (1 + more * (1 - area) / (2 - area) + more * area / (1 + area))


def permutation_p(
    scores: Float[np.ndarray, " n"], second: Bool[np.ndarray, " n"], which: Int[np.ndarray, " n"], seed: int
) -> float:
    """Two-sided p of dealing the clusters' scores anew among clusters of their size, the deal that came among them."""
    ranks = stats.rankdata(scores) - (len(scores) + 1) / 2
    order, sizes = np.argsort(which, kind="stable"), np.bincount(which)
    of_size = [order[np.repeat(sizes, sizes) == size].reshape(-1, size) for size in np.unique(sizes)]
    rng, came = np.random.default_rng((seed, 7)), float(ranks[second].sum())
    sums = np.zeros(DEALS)
    for block in of_size:
        labels = second[block].astype(np.float64)
        for start in range(0, DEALS, _AT_ONCE):
            deals = np.tile(np.arange(len(block)), (min(_AT_ONCE, DEALS - start), 1))
            dealt = rng.permuted(deals, axis=1)
            sums[start : start + len(dealt)] += np.einsum("dcs,cs->d", ranks[block][dealt], labels)
    tie = _TIE * np.abs(ranks).sum()
    above, below = (sums >= came - tie).sum() + 1, (sums <= came + tie).sum() + 1
    return float(min(1.0, 2 * min(above, below) / (DEALS + 1)))
