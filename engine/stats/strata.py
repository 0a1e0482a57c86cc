"""Difference of two groups' means, within strata of a confound and then pooled.

    D = sum_s w_s (m_2s - m_1s) / sum_s w_s,    w_s = n_1s n_2s / (n_1s + n_2s)      (Cochran, Mantel-Haenszel)
    Var(D) = sum_{s,g} c_gs,    c_gs = (w_s / W)^2 v_gs / n_gs
    freedom = Var(D)^2 / sum_{s,g} c_gs^2 / (n_gs - 1)                                (Welch, Satterthwaite)

A comparison inside a stratum (same balance, same round) cannot be a comparison between strata. The weights depend on
the sizes alone: inverse variances would give all weight to a stratum in which a sparse feature happened to be silent.
With one stratum this is Welch's test. Strata in which a group is absent get weight 0.

Shapes: means, variances [S, *F]; sizes [S, *F] or [S, 1]. Cost: elementwise.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import stats


@dataclasses.dataclass(frozen=True)
class StratifiedDifference:
    """Pooled within-stratum difference, second group minus first.

    Attributes:
        difference, error: the pooled difference and its standard error.
        t, freedom, p: Welch-Satterthwaite test; NaN without variation.
        d: the difference over the pooled within-group, within-stratum standard deviation, with one stratum Cohen's. It
            describes a difference, never a cause: it is for selecting features. It comes without an interval: those
            known hold for normal values, which sparse features are far from.
    """

    difference: Float[np.ndarray, "*F"]
    error: Float[np.ndarray, "*F"]
    t: Float[np.ndarray, "*F"]
    freedom: Float[np.ndarray, "*F"]
    p: Float[np.ndarray, "*F"]
    d: Float[np.ndarray, "*F"]

    def interval(self, confidence: float = 0.95) -> tuple[Float[np.ndarray, "*F"], Float[np.ndarray, "*F"]]:
        """t interval of the difference, as (low, high)."""
        reach = stats.t.isf((1 - confidence) / 2, self.freedom) * self.error
        return self.difference - reach, self.difference + reach


def stratified_difference(
    mean_1: Float[np.ndarray, "S *#F"],
    variance_1: Float[np.ndarray, "S *#F"],
    n_1: Float[np.ndarray, "S *#F"],
    mean_2: Float[np.ndarray, "S *#F"],
    variance_2: Float[np.ndarray, "S *#F"],
    n_2: Float[np.ndarray, "S *#F"],
    *,
    equal_weights: bool = False,
) -> StratifiedDifference:
    """Pools the differences of all strata.

    Args:
        mean_1, variance_1, n_1: first group (variances with n - 1 in the denominator).
        mean_2, variance_2, n_2: second group.
        equal_weights: every stratum counts the same, for strata that are prompts and not confounds.
    """
    mean, variance = np.stack([mean_1, mean_2]), np.stack([variance_1, variance_2])
    n = np.broadcast_to(np.stack([n_1, n_2]).astype(np.float64), mean.shape)
    usable = (n >= 2).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(usable, 1.0 if equal_weights else n[0] * n[1] / n.sum(axis=0), 0.0)
        share = weight / weight.sum(axis=0)
        parts = np.where(usable, np.square(share) * variance / n, 0.0)
        error = np.sqrt(parts.sum(axis=(0, 1)))
        freedom = error**4 / np.where(usable, np.square(parts) / (n - 1), 0.0).sum(axis=(0, 1))
        within = np.where(usable, (n - 1) * variance, 0.0).sum(axis=(0, 1))
        spread = np.sqrt(within / np.where(usable, n - 1, 0.0).sum(axis=(0, 1)))
        # No usable stratum makes every share NaN, and so the difference and all that follows from it.
        difference = np.where(usable, share * (mean[1] - mean[0]), share).sum(axis=0)
        t = np.where(error > 0, difference / error, np.nan)
        d = np.where(spread > 0, difference / spread, np.nan)
    return StratifiedDifference(difference, error, t, freedom, 2 * stats.t.sf(np.abs(t), freedom), d)
