r"""Log odds of a word between two arms of texts, with a prior, clusters and tests.

Of a word with y_a occurrences among the n_a words of arm a (1 the reference, 2 the patched one), with a prior that
counts as alpha = alpha_0 p words of its kind among alpha_0 words (p: its share of all texts; Monroe, Colaresi and Quinn
2008, "Fightin' Words"):

    delta = log (y_2 + alpha) / (n_2 + alpha_0 - y_2 - alpha) - log (y_1 + alpha) / (n_1 + alpha_0 - y_1 - alpha)
    z     = delta / sqrt(1 / (y_2 + alpha) + 1 / (y_1 + alpha))

above 0: more of it in the patched arm. z takes every word for an independent draw. Words of a text are not, so interval
and p take clusters c (a response, or all responses to a prompt) as what is drawn:

    u_c = a y_c - b n_c,   b = 1 / (n + alpha_0 - y - alpha),   a = 1 / (y + alpha) + b          (influence on delta)
    Var(delta) = sum over arms of [ C / (C - 1) sum_c (u_c - mean u)^2 + a^2 alpha ]

the last term being the prior's own words, so that a word nobody wrote has Monroe's variance and not 0; where words are
independent all of it is Monroe's. Where clusters are in both arms (`Joint`) u_c is the difference of the two.

    rate test     e_c = y_c - pi n_c, pi = (y_1 + y_2) / (n_1 + n_2): does S = sum e_c of arm 2 differ from 0 more than
                  it would with clusters dealt anew to the arms, Var = C_1 C_2 / (C (C - 1)) sum e_c^2, or, of clusters
                  in both arms, with the arms exchanged in each? Half a word is taken off |S| for its being whole.
    presence      exact, of clusters that hold the word at all: Fisher, mid-p or Boschloo; of clusters in both arms the
                  sign test on which arm holds it more often. It knows nothing of lengths: longer texts hold more of all
                  words.

The interval covers the true log odds in 93 to 98 % of sets (30 responses an arm, words in bursts or not, rates of 3 to
100 in 1000); less, 89 %, where one arm has 40 times the other's rate of a word that the other hardly has, because the
prior draws delta towards 0 there.

`combined` takes the rate test where both arms are expected to have `ENOUGH` clusters that hold the word, and below the
presence test, but never with less p than the rate test without its correction, so that a longer text is no more words
of each kind. Shapes: [rows] everywhere. Cost: elementwise, and scipy's exact tests once for each distinct table.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from causeway.engine.stats.distinct import per_distinct_row
from causeway.engine.stats.proportions import CountPair, ExactTest, exact_test

ENOUGH = 10

Rows = Float[np.ndarray, " rows"]


@dataclasses.dataclass(frozen=True)
class Arm:
    """Sums over the clusters of one arm. All [rows].

    Attributes:
        y, n: occurrences of the word, and all words. clusters: how many.
        yy, yn, nn: sums over clusters of y_c^2, y_c n_c, n_c^2.
    """

    y: Rows
    n: Rows
    clusters: Rows
    yy: Rows
    yn: Rows
    nn: Rows


@dataclasses.dataclass(frozen=True)
class Joint:
    """Sums over clusters that are in both arms, of products of the arms. All [rows].

    Attributes:
        yy: y_1 y_2. y1n2, n1y2, nn: the other products.
    """

    yy: Rows
    y1n2: Rows
    n1y2: Rows
    nn: Rows


@dataclasses.dataclass(frozen=True)
class Prior:
    """alpha: [rows] words of the row's kind in the prior. total: alpha_0."""

    alpha: Rows
    total: float


def log_odds(first: Arm, second: Arm, prior: Prior) -> Rows:
    """delta."""
    (one, rest_1), (two, rest_2) = (_odds(arm, prior) for arm in (first, second))
    return np.log(two / rest_2) - np.log(one / rest_1)


def monroe_z(first: Arm, second: Arm, prior: Prior) -> Rows:
    """z."""
    (one, _), (two, _) = (_odds(arm, prior) for arm in (first, second))
    return log_odds(first, second, prior) / np.sqrt(1 / one + 1 / two)


def interval(
    first: Arm, second: Arm, prior: Prior, joint: Joint | None = None, confidence: float = 0.95
) -> tuple[Rows, Rows]:
    """Ends of delta's interval, Student's; NaN with fewer than two clusters in an arm."""
    delta = log_odds(first, second, prior)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [_variance(arm, prior) for arm in (first, second)]
        if joint is None:
            variance = parts[0] + parts[1]
            lots = [part**2 / (arm.clusters - 1) for part, arm in zip(parts, (first, second), strict=True)]
            freedom = variance**2 / (lots[0] + lots[1])
        else:
            variance = np.maximum(parts[0] + parts[1] - 2 * _covariance(first, second, joint, prior), 0)
            variance = np.maximum(
                variance, sum(_influence(arm, prior)[0] ** 2 * prior.alpha for arm in (first, second))
            )
            freedom = first.clusters - 1
        reach = stats.t.isf((1 - confidence) / 2, freedom) * np.sqrt(variance)
    reach = np.where(np.minimum(first.clusters, second.clusters) < 2, np.nan, reach)
    return delta - reach, delta + reach


def rate_test(first: Arm, second: Arm, joint: Joint | None = None, correction: float = 0.5) -> Rows:
    """p of equal rates; 1 where no cluster differs from another.

    Args:
        correction: what is taken off |S|, in words.
    """
    y, n = first.y + second.y, first.n + second.n
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = y / n
        squares = sum(arm.yy - 2 * rate * arm.yn + rate**2 * arm.nn for arm in (first, second))
        total = second.y - rate * second.n
        if joint is None:
            clusters = first.clusters + second.clusters
            variance = first.clusters * second.clusters / (clusters * (clusters - 1)) * squares
        else:
            products = joint.yy - rate * (joint.y1n2 + joint.n1y2) + rate**2 * joint.nn
            # S of arm 2 is half the sum of the differences of the arms, which are what is exchanged.
            variance = (squares - 2 * products) / 4
        z = np.maximum(np.abs(total) - correction, 0) / np.sqrt(variance)
    return np.where(variance > 1e-9 * np.maximum(y, 1), 2 * stats.norm.sf(np.nan_to_num(z)), 1.0)


def presence_test(
    held_1: Int[np.ndarray, " rows"], clusters_1: Int[np.ndarray, " rows"],
    held_2: Int[np.ndarray, " rows"], clusters_2: Int[np.ndarray, " rows"], test: ExactTest = "fisher",
) -> Rows:  # fmt: skip
    """Exact p of equal shares of clusters that hold the word."""
    return exact_test(CountPair(held_1, clusters_1, held_2, clusters_2), test)


def sign_test(more_1: Int[np.ndarray, " rows"], more_2: Int[np.ndarray, " rows"]) -> Rows:
    """Exact p of clusters that hold the word more often in one arm, of those that differ; 1 where none does."""

    def p_value(one: int, two: int) -> float:
        return float(stats.binomtest(one, one + two).pvalue) if one + two else 1.0

    return per_distinct_row(p_value, more_1, more_2)


def combined(exact: Rows, rate: Rows, plain: Rows, enough: np.ndarray) -> Rows:
    """The p of each row: `rate` where `enough`, else the exact one, and not below `plain` (rate without correction)."""
    return np.where(enough, rate, np.maximum(exact, plain))


def original_log_ratio(y_1: Rows, y_2: Rows) -> Rows:
    """The plan's own statistic, log (y_2 + 1) / (y_1 + 1): no odds, and blind to the arms' lengths."""
    return np.log((y_2 + 1) / (y_1 + 1))


def original_p(y_1: Rows, n_1: Rows, y_2: Rows, n_2: Rows) -> Rows:
    """The plan's own test: chi-square with Yates' correction on occurrences, which takes words for independent.

    As scipy's `chi2_contingency` of [[y_1, n_1 - y_1], [y_2, n_2 - y_2]]; NaN where a margin is 0, which it refuses.
    """
    y, n = y_1 + y_2, n_1 + n_2
    with np.errstate(divide="ignore", invalid="ignore"):
        off = y_1 - y * n_1 / n
        # Of the four cells all are off by as much.
        off = np.maximum(np.abs(off) - 0.5, 0)
        inverse = (1 / y + 1 / (n - y)) * (n / n_1 + n / n_2)
        return np.where((y > 0) & (y < n) & (n_1 > 0) & (n_2 > 0), stats.chi2.sf(off**2 * inverse, 1), np.nan)


def _odds(arm: Arm, prior: Prior) -> tuple[Rows, Rows]:
    """Words of the kind and other words, the prior's included."""
    own = arm.y + prior.alpha
    return own, np.maximum(arm.n + prior.total - own, 1e-9)


def _influence(arm: Arm, prior: Prior) -> tuple[Rows, Rows]:
    """a and b."""
    own, rest = _odds(arm, prior)
    return 1 / own + 1 / rest, 1 / rest


def _variance(arm: Arm, prior: Prior) -> Rows:
    a, b = _influence(arm, prior)
    squares = a**2 * arm.yy - 2 * a * b * arm.yn + b**2 * arm.nn - (a * arm.y - b * arm.n) ** 2 / arm.clusters
    return arm.clusters / (arm.clusters - 1) * np.maximum(squares, 0) + a**2 * prior.alpha


def _covariance(first: Arm, second: Arm, joint: Joint, prior: Prior) -> Rows:
    (a1, b1), (a2, b2) = (_influence(arm, prior) for arm in (first, second))
    products = a1 * a2 * joint.yy - a1 * b2 * joint.y1n2 - b1 * a2 * joint.n1y2 + b1 * b2 * joint.nn
    centre = (a1 * first.y - b1 * first.n) * (a2 * second.y - b2 * second.n) / first.clusters
    return first.clusters / (first.clusters - 1) * (products - centre)
