"""Paired comparisons over prompts: the mean difference and its interval (the test is `sign_flip`).

    effect_f = mean_p x[f, p],    t interval: effect +- t_{n-1} s / sqrt(n)

x[f, p] is treated minus reference for one prompt. n prompts are n observations however many trials each had. With one
prompt there is no interval of this kind: what varies between prompts has not been seen (NaN is returned, and the
caller names the interval over trials for what it covers).

Shapes: differences [rows, P], NaN where a prompt is missing. Cost: elementwise; the bootstrap rows P R.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Interval = Literal["t", "bootstrap"]
INTERVALS: tuple[str, ...] = ("t", "bootstrap")
BOOTSTRAP_RESAMPLES = 1_999
BOOTSTRAP_BLOCK = 256


@dataclasses.dataclass(frozen=True)
class PairedMean:
    """Mean paired difference of each row.

    Attributes:
        prompts: [rows] prompts with both values.
        effect, low, high: [rows]; the interval is NaN below two prompts.
    """

    prompts: Int[np.ndarray, " rows"]
    effect: Float[np.ndarray, " rows"]
    low: Float[np.ndarray, " rows"]
    high: Float[np.ndarray, " rows"]


def paired_mean(
    differences: Float[np.ndarray, "rows P"], *, interval: Interval = "t", confidence: float = 0.95, seed: int = 0
) -> PairedMean:
    """Mean difference over prompts with its interval.

    Args:
        differences: treated minus reference, per prompt.
        interval: "t", or "bootstrap" (percentile, resampling prompts; for outcomes far from normal and n >= 20).
        seed: key of the bootstrap's draws.

    Raises:
        ValueError: an unknown interval.
    """
    if interval not in INTERVALS:
        raise ValueError(f"interval: got {interval!r}; needs one of {INTERVALS}")
    x = np.asarray(differences, dtype=np.float64)
    known = ~np.isnan(x)
    n = known.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(known, x, 0.0).sum(axis=1) / n
        square = np.square(np.where(known, x - effect[:, None], 0.0)).sum(axis=1)
        error = np.sqrt(square / (n - 1) / n)
    if interval == "bootstrap":
        low, high = _bootstrap(x, n, confidence, seed)
    else:
        reach = stats.t.isf((1 - confidence) / 2, np.maximum(n - 1, 1)) * error
        low, high = effect - reach, effect + reach
    enough = n >= 2
    return PairedMean(n, effect, np.where(enough, low, np.nan), np.where(enough, high, np.nan))


def _bootstrap(
    x: Float[np.ndarray, "rows P"], n: Int[np.ndarray, " rows"], confidence: float, seed: int
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Percentile interval of the mean. Rows with the same number of prompts are resampled together."""
    low, high = np.full(len(x), np.nan), np.full(len(x), np.nan)
    for size in np.unique(n[n >= 2]):
        rows = np.flatnonzero(n == size)
        for block in np.array_split(rows, -(-len(rows) // BOOTSTRAP_BLOCK)):
            # Prompts that are there, in prompt order: their number is the same in every row of the block.
            values = x[block][~np.isnan(x[block])].reshape(len(block), size)
            found = stats.bootstrap(
                (values,), np.mean, axis=-1, vectorized=True, n_resamples=BOOTSTRAP_RESAMPLES, method="percentile",
                confidence_level=confidence, rng=np.random.default_rng((seed, 3)),
            ).confidence_interval  # fmt: skip
            low[block], high[block] = found.low, found.high
    return low, high
