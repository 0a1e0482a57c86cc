"""Two proportions: risk difference with Newcombe's interval, and exact tests on counts.

Newcombe (1998), method 10, combines the two Wilson intervals [l_i, u_i] of the proportions p_i:

    low  = d - sqrt((p_2 - l_2)^2 + (u_1 - p_1)^2)        d = p_2 - p_1
    high = d + sqrt((u_2 - p_2)^2 + (p_1 - l_1)^2)

It keeps its coverage at 0 and n, where the Wald interval collapses. Exact tests need no minimum count, so a cell of
zero is an answer and not an exception. Arms that share random numbers are positively correlated; these tests take
them as independent and are then conservative.

Items in clusters (all questions about one noun) are not independent; `clustered_interval` counts them as fewer.

Shapes: integer counts [...]; rows with n = 0 give NaN. Cost: scipy's scalar routines run once for each *distinct*
table, and 30 trials an arm allow at most 961 of those whatever the number of features.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import stats

from causeway.engine.stats.distinct import per_distinct_row


class CountPair(NamedTuple):
    """Counts of two arms, the reference first. All [...], integers."""

    successes_1: Int[np.ndarray, "*rows"]
    trials_1: Int[np.ndarray, "*rows"]
    successes_2: Int[np.ndarray, "*rows"]
    trials_2: Int[np.ndarray, "*rows"]


ExactTest = Literal["fisher", "mid_p", "boschloo", "barnard"]
# Clusters (or independent items) of which a proportion has an interval: the spread of fewer is too uncertain.
FEWEST_CLUSTERS = 10


def _fisher(table: list[list[int]]) -> float:
    return float(stats.fisher_exact(table).pvalue)


def _mid_p(table: list[list[int]]) -> float:
    """Fisher's p with half the probability of tables as likely as the one that came."""
    (a, b), (c, d) = table
    tables = stats.hypergeom(a + b + c + d, a + b, a + c)
    likely = tables.pmf(np.arange(max(0, a - d), min(a + b, a + c) + 1))
    own = float(tables.pmf(a))
    same = np.isclose(likely, own, rtol=1e-7, atol=0)
    return float(likely[(likely < own) & ~same].sum() + 0.5 * likely[same].sum())


def _boschloo(table: list[list[int]]) -> float:
    return float(stats.boschloo_exact(table).pvalue)


def _barnard(table: list[list[int]]) -> float:
    return float(stats.barnard_exact(table).pvalue)


TESTS: dict[str, Callable[[list[list[int]]], float]] = {
    "fisher": _fisher, "mid_p": _mid_p, "boschloo": _boschloo, "barnard": _barnard,
}  # fmt: skip


def wilson_interval(
    successes: Num[np.ndarray, "*#rows"], trials: Num[np.ndarray, "*#rows"], confidence: float = 0.95
) -> tuple[Float[np.ndarray, "*rows"], Float[np.ndarray, "*rows"]]:
    """Wilson score interval of each proportion, as (low, high); counts may be of effective trials, not whole."""
    z = stats.norm.isf((1 - confidence) / 2)
    n = np.asarray(trials, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = successes / n
        centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + np.square(z / (2 * n)))
    # At 0 and n the ends are exact but for rounding.
    low, high = np.where(rate == 0, 0.0, centre - reach), np.where(rate == 1, 1.0, centre + reach)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def clustered_interval(
    successes: Bool[np.ndarray, " n"], clusters: Sequence[str], confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson's interval of a proportion whose items come in clusters, of as many items as they are worth.

    Korn and Graubard (1998): the items' number is divided by how much more the proportion varies than that of
    independent ones, estimated from the clusters' residuals, and multiplied by (z / t)^2, t's degrees being the number
    of clusters with the rarer outcome and one: they alone show the spread. Where all items agree nothing is known of
    how alike those of a cluster are, and each cluster counts as one item.

    Returns:
        (low, high); NaN with fewer than `FEWEST_CLUSTERS`.
    """
    hits, which = np.asarray(successes, np.float64), np.unique(clusters, return_inverse=True)[1]
    count, groups = len(hits), len(np.unique(which))
    if groups < FEWEST_CLUSTERS:
        return np.nan, np.nan
    worth = float(count) if groups == count else _worth(hits, which, groups, (1 - confidence) / 2)
    low, high = wilson_interval(np.array(hits.mean() * worth), np.array(worth), confidence)
    return float(low), float(high)


def _worth(hits: Float[np.ndarray, " n"], which: Int[np.ndarray, " n"], groups: int, tail: float) -> float:
    """How many independent items the clusters' items are worth."""
    count, rate = len(hits), float(hits.mean())
    variance = groups / (groups - 1) * np.square(np.bincount(which, hits - rate)).sum() / count**2
    worth = min(rate * (1 - rate) / variance, count) if variance > 0 else groups
    rarer = min(len(np.unique(which[hits == outcome])) for outcome in (0, 1)) or groups
    return float(worth * (stats.norm.isf(tail) / stats.t.isf(tail, max(rarer + 1, 4))) ** 2)


def risk_difference(
    table: CountPair, confidence: float = 0.95
) -> tuple[Float[np.ndarray, "*rows"], Float[np.ndarray, "*rows"], Float[np.ndarray, "*rows"]]:
    """p_2 - p_1 with Newcombe's interval, as (difference, low, high); NaN where an arm has no trials."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p_1, p_2 = np.true_divide(table.successes_1, table.trials_1), np.true_divide(table.successes_2, table.trials_2)
    low_1, high_1 = wilson_interval(table.successes_1, table.trials_1, confidence)
    low_2, high_2 = wilson_interval(table.successes_2, table.trials_2, confidence)
    difference = p_2 - p_1
    low = difference - np.hypot(p_2 - low_2, high_1 - p_1)
    high = difference + np.hypot(high_2 - p_2, p_1 - low_1)
    return difference, low, high


def paired_risk_difference(
    first: Num[np.ndarray, " n"], second: Num[np.ndarray, " n"], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of second - first of items that are in both arms, as (difference, low, high).

    Newcombe (1998, of paired proportions), method 10: his interval of two proportions with the correlation phi of the
    arms between the two reaches, its covariance 1 / (2 n) nearer to 0. Values between 0 and 1 are shares of an item's
    trials, which vary less than outcomes, so that the interval is then wide.

    Args:
        first, second: 0, 1 or shares, of the same items.

    Raises:
        ValueError: no items.
    """
    if not (count := len(first)):
        raise ValueError("first, second: got no items; needs at least one in both arms")
    rates = np.array([np.mean(first), np.mean(second)])
    low, high = wilson_interval(rates * count, np.full(2, count), confidence)
    scale = float(np.sqrt(np.prod(rates * (1 - rates))))
    covariance = float(np.mean(np.multiply(first, second)) - np.prod(rates))
    phi = np.sign(covariance) * max(abs(covariance) - 1 / (2 * count), 0) / scale if scale else 0.0
    difference, (below, above) = float(rates[1] - rates[0]), (rates - low, high - rates)

    def reach(a: float, b: float) -> float:
        return float(np.sqrt(max(a * a - 2 * phi * a * b + b * b, 0)))

    return difference, difference - reach(below[1], above[0]), difference + reach(above[1], below[0])


def exact_test(table: CountPair, test: ExactTest = "fisher") -> Float[np.ndarray, "*rows"]:
    """Exact p value of equal proportions, two-sided.

    Fisher takes about 0.4 ms a distinct table; Boschloo is more powerful and takes about 10 ms. mid_p is Fisher's
    p with half the probability of what came: nearer to its level, at times a little above it.

    Raises:
        ValueError: an unknown test, or more successes than trials.
    """
    if test not in TESTS:
        raise ValueError(f"test: got {test!r}; needs one of {tuple(TESTS)}")
    if np.any(np.greater(table.successes_1, table.trials_1)) or np.any(np.greater(table.successes_2, table.trials_2)):
        raise ValueError("successes: some exceed their number of trials; pass counts of successes and of all trials")

    def p_value(k_1: int, n_1: int, k_2: int, n_2: int) -> float:
        if n_1 == 0 or n_2 == 0:
            return np.nan
        return TESTS[test]([[k_2, k_1], [n_2 - k_2, n_1 - k_1]])

    return per_distinct_row(p_value, *table)


class PairedShare(NamedTuple):
    """How a share of items changes when each is seen twice. All [rows].

    Attributes:
        effect, low, high: after less before. p: exact, two-sided (McNemar's test).
    """

    effect: Float[np.ndarray, " rows"]
    low: Float[np.ndarray, " rows"]
    high: Float[np.ndarray, " rows"]
    p: Float[np.ndarray, " rows"]


def paired_share(
    before: Bool[np.ndarray, " n"], after: Bool[np.ndarray, "rows n"], confidence: float = 0.95
) -> PairedShare:
    """Change of a share of items that are seen twice, each row of `after` against `before`.

    Intervals are those of `paired_risk_difference`: where none of n items changed they still bound what might. p counts
    the items that changed alone.
    """
    gained, lost = (after & ~before).sum(axis=1), (~after & before).sum(axis=1)
    shares, first = after.astype(np.float64), before.astype(np.float64)
    effect, low, high = np.array([paired_risk_difference(first, row, confidence) for row in shares]).reshape(-1, 3).T

    def p_value(up: int, down: int) -> float:
        return float(stats.binomtest(up, up + down).pvalue) if up + down else 1.0

    return PairedShare(effect, low, high, per_distinct_row(p_value, gained, lost))
