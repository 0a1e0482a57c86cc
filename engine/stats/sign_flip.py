"""Paired permutation test over prompts: under no effect, each prompt's difference is as likely to be its negative.

    statistic_f(s) = sum_p s_p x[f, p],    s in {-1, +1}^P;    p_f = 2 min(P(T >= t), P(T <= t))

All sign vectors are enumerated up to `EXACT_PROMPTS` prompts; above, random ones are drawn, the observed one counted
among them (p is never 0). The prompt is the unit: trials of one prompt are averaged before they come here.

The resampling is `scipy.stats.permutation_test`, given the *signs* as its data, so that one matrix product evaluates
the statistic of a whole block of features for all sign vectors; features share their signs, which leaves each p valid
and their dependence intact. A missing prompt (NaN) is a zero and adds nothing under any sign.

Random resampling bounds p from below by 2 / (R + 1), too coarse for thousands of tests. Rows at the bound are drawn
again with fresh signs and as many more resamples as a fixed amount of work allows. Both stages are valid tests, and a
row may only keep its first p when that was above the second stage's threshold, so P(p <= a) <= a still holds.

Shapes: x [rows, P]. Cost: 2 rows P R operations a stage; about 5 s for 100,000 rows of 50 prompts on one core.
Memory: `BLOCK` float64 values.
"""

import numpy as np
from jaxtyping import Float
from scipy import stats

EXACT_PROMPTS = 12
FIRST_RESAMPLES = 1_999
MOST_RESAMPLES = 999_999
REFINED_WORK = 100_000_000
BLOCK = 8_000_000


def smallest_p(prompts: int) -> float:
    """The smallest p value any data can give: 2 of the 2^n sign vectors are at least as extreme as the observed."""
    return min(1.0, 2.0 / 2.0**prompts)


# Below this many prompts no data can reach p < 0.05 (2 / 2^5 = 0.0625).
FEWEST_PROMPTS = 6


def sign_flip_test(
    differences: Float[np.ndarray, "rows P"], *, seed: int, resamples: int = FIRST_RESAMPLES
) -> Float[np.ndarray, " rows"]:
    """Two-sided p value of no effect for each row.

    Args:
        differences: one paired difference a prompt; NaN where the prompt is missing.
        seed: key of the random signs; the same seed gives the same p values in any blocking of the rows.
        resamples: sign vectors of the first stage when the prompts are too many to enumerate.

    Returns:
        p in (0, 1]; NaN for a row with fewer than two prompts, whose test could only ever say 1.
    """
    x = np.asarray(differences, dtype=np.float64)
    known = ~np.isnan(x)
    filled = np.where(known, x, 0.0)
    p = np.full(x.shape[0], np.nan)
    tested = np.flatnonzero(known.sum(axis=1) >= 2)
    if not tested.size:
        return p
    enumerate_all = x.shape[1] <= EXACT_PROMPTS
    first = 2 ** x.shape[1] if enumerate_all else resamples
    p[tested] = _blocked(filled[tested], first, (seed, 1))
    # Twice the bound's neighbourhood: ten resamples out of `first` are within noise of none.
    at_bound = tested[p[tested] <= 20 / (first + 1)]
    if not enumerate_all and at_bound.size:
        second = int(np.clip(REFINED_WORK // at_bound.size, first, MOST_RESAMPLES))
        p[at_bound] = _blocked(filled[at_bound], second, (seed, 2))
    return p


def _blocked(x: Float[np.ndarray, "rows P"], resamples: int, key: tuple[int, int]) -> Float[np.ndarray, " rows"]:
    """p values in blocks of rows whose null distributions fit in memory."""
    step = max(1, BLOCK // resamples)
    return np.concatenate([_p_values(x[i : i + step], resamples, key) for i in range(0, len(x), step)])


def _p_values(x: Float[np.ndarray, "rows P"], resamples: int, key: tuple[int, int]) -> Float[np.ndarray, " rows"]:
    columns = np.ascontiguousarray(x.T)
    result = stats.permutation_test(
        (np.ones(x.shape[1]),),
        lambda signs, axis: signs @ columns,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=min(resamples, 20_000),
        axis=-1,
        rng=np.random.default_rng(key),
    )
    return np.asarray(result.pvalue)
