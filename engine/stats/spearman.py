"""Spearman's rank correlation with an interval: Fisher's transform with Bonett and Wright's (2000) standard error.

    atanh r  +-  z sqrt((1 + r^2 / 2) / (n - 3))

n is the number of independent items: where items come in clusters, that of the clusters, which is careful. What it
covers, simulated: `tests/engine/stats/test_spearman.py`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

# Clusters (or independent items) below which there is no interval.
FEWEST = 10


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """r, NaN where one side does not vary; its interval, NaN where there is none."""

    r: float
    low: float
    high: float


def spearman(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], clusters: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> RankCorrelation:  # fmt: skip
    """The correlation of ranks, ties sharing their mean rank."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(np.nan, np.nan, np.nan)
    r = float(stats.spearmanr(x, y).statistic)
    count = len(x) if clusters is None else len(set(clusters))
    if count < FEWEST or abs(r) == 1:
        return RankCorrelation(r, np.nan, np.nan)
    reach = stats.norm.isf((1 - confidence) / 2) * np.sqrt((1 + r**2 / 2) / (count - 3))
    return RankCorrelation(r, *(float(np.tanh(np.arctanh(r) + side * reach)) for side in (-1, 1)))
