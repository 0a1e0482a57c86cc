"""The study's own rules for pathways, as its documents have them, faults included.

    redesign      t-test (equal variances) of a feature's activations in all patched against all clean trials:
                  p < 0.05 and |difference of means| > 0.1. There the patched feature is the *target*, and what changes
                  at an earlier layer is its *source*: the wrong way round, as an earlier layer can only change through
                  tokens.
    correlation   Pearson of two features over trials: |r| > 0.7, p < 0.01, 10 or more shared trials. The r is mostly
                  that of the prompts that the trials share.

Trials are the unit of both, whichever prompts they are of; neither is corrected for the number of pairs.

Shapes: P prompts, S trials, T targets. Cost: elementwise.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

ALPHA, LEAST_EFFECT = 0.05, 0.1
CORRELATION_ALPHA, LEAST_CORRELATION, FEWEST_SHARED = 0.01, 0.7, 10


@dataclasses.dataclass(frozen=True)
class TrialTest:
    """The redesign's test, [T]; t and p are NaN where the trials do not vary."""

    effect: Float[np.ndarray, " T"]
    t: Float[np.ndarray, " T"]
    p: Float[np.ndarray, " T"]

    @property
    def is_pathway(self) -> Bool[np.ndarray, " T"]:
        """p < 0.05 and |effect| > 0.1."""
        with np.errstate(invalid="ignore"):
            return (self.p < ALPHA) & (np.abs(self.effect) > LEAST_EFFECT)


def trial_test(edited: Float[np.ndarray, "P S T"], plain: Float[np.ndarray, "P S T"]) -> TrialTest:
    """The test over all trials of all prompts; NaN marks a trial without a value."""
    a, b = (values.reshape(-1, values.shape[-1]) for values in (edited, plain))
    (n_a, mean_a, square_a), (n_b, mean_b, square_b) = _moments(a), _moments(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation_a, deviation_b = np.sqrt(square_a / (n_a - 1)), np.sqrt(square_b / (n_b - 1))
        t, p = stats.ttest_ind_from_stats(mean_a, deviation_a, n_a, mean_b, deviation_b, n_b)
    return TrialTest(mean_a - mean_b, t, p)


@dataclasses.dataclass(frozen=True)
class TrialCorrelation:
    """The study's correlation, [T]: r, its p, and the trials that both features have."""

    r: Float[np.ndarray, " T"]
    p: Float[np.ndarray, " T"]
    shared: Int[np.ndarray, " T"]

    @property
    def holds(self) -> Bool[np.ndarray, " T"]:
        """|r| > 0.7, p < 0.01 and 10 or more shared trials."""
        with np.errstate(invalid="ignore"):
            strong = (np.abs(self.r) > LEAST_CORRELATION) & (self.p < CORRELATION_ALPHA)
        return strong & (self.shared >= FEWEST_SHARED)


def trial_correlation(x: Float[np.ndarray, "P S"], y: Float[np.ndarray, "P S T"]) -> TrialCorrelation:
    """Pearson over all trials of all prompts, and its p by Student's t."""
    y = y.reshape(-1, y.shape[-1])
    x = np.where(np.isnan(y), np.nan, x.reshape(-1, 1))
    y = np.where(np.isnan(x), np.nan, y)
    (n, mean_x, square_x), (_, mean_y, square_y) = _moments(x), _moments(y)
    with np.errstate(invalid="ignore", divide="ignore"):
        product = np.nansum((x - mean_x) * (y - mean_y), axis=0)
        r = np.clip(product / np.sqrt(square_x * square_y), -1, 1)
        t = r * np.sqrt((n - 2) / (1 - r**2))
        p = np.where(n > 2, 2 * stats.t.sf(np.abs(t), np.maximum(n - 2, 1)), np.nan)
    return TrialCorrelation(np.where(n > 2, r, np.nan), np.where(np.isnan(r), np.nan, p), n)


def _moments(values: Float[np.ndarray, "n T"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean, and sum of squares about it."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / n
    return n, mean, np.square(np.where(known, values - mean, 0.0)).sum(axis=0)
