"""Paired permutation test over prompts: under no effect, each prompt's difference is as likely to be its negative.

    T_f(s) = sum_p s_p x[f, p],    s in {-1, +1}^P;    p_f = P(|T_f(s)| >= |T_f(1)|)

Up to `EXACT_PROMPTS` prompts `scipy.stats.permutation_test` enumerates all sign vectors. It is given the *signs* as its
data, so that one matrix product evaluates a whole block of features. Above, random signs are drawn, the observed
vector counted among them, p = (1 + hits) / (1 + R), which is never 0. scipy draws anew, in Python, for every feature
it tests; here features share their draws, which leaves each p valid and their dependence intact, and makes the whole
test matrix products. A missing prompt (NaN) is a zero and adds nothing under any sign. The prompt is the unit: trials
of one prompt are averaged before they come here.

Random resampling bounds p from below by 1 / (1 + R), too coarse for thousands of tests. Rows near the bound are drawn
again with fresh signs and as many more of them as a fixed amount of work allows. Either stage is a valid test, and a
row keeps its first p only when that lies above every second-stage candidate, so P(p <= a) <= a still holds.

Shapes: x [rows, P]. Cost: 2 rows P R operations; 0.2 s for 10,000 rows of 50 prompts on one core. Memory: `BLOCK`
float64 values, whatever R.
"""

import numpy as np
from jaxtyping import Float
from scipy import stats

EXACT_PROMPTS = 12
FIRST_RESAMPLES = 1_999
# Work of the second stage, in resamples times rows. Drawing a sign vector costs about as much as using it on 40 rows,
# so a lone row among thousands gets 500,000 resamples and 1,000 rows get 20,000.
REFINED_WORK, DRAW_COST = 20_000_000, 40
# Few rows are a small family, whose correction asks for no p as small as that: the work grows with the rows.
WORK_PER_ROW = 10_000
# Signs are drawn this many vectors at a time whatever the rows, so that the draws do not depend on the rows.
DRAW = 200
BLOCK = 8_000_000
# Sums of one draw of signs and one block of rows. Products this small stay in cache and below the size at which BLAS
# starts threads, whose waiting cost more than they saved (0.2 against 0.5 CPU seconds on a busy machine).
CACHED = 5_000
# Ties between the observed and a resampled sum differ by rounding.
TIE = 1 - 1e-10


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
    if x.shape[1] <= EXACT_PROMPTS:
        p[tested] = _enumerated(filled[tested])
        return p
    p[tested] = _drawn(filled[tested], resamples, np.random.default_rng((seed, 1)))
    near_bound = tested[p[tested] <= 10 / (resamples + 1)]
    if near_bound.size:
        work = min(REFINED_WORK, WORK_PER_ROW * len(tested))
        more = max(resamples, work // (near_bound.size + DRAW_COST))
        p[near_bound] = _drawn(filled[near_bound], more, np.random.default_rng((seed, 2)))
    return p


def _enumerated(x: Float[np.ndarray, "rows P"]) -> Float[np.ndarray, " rows"]:
    """Exact p values, in blocks of rows whose null distributions fit in memory."""
    vectors = 2 ** x.shape[1]
    step = max(1, BLOCK // vectors)
    parts = []
    for columns in (x[i : i + step].T for i in range(0, len(x), step)):
        found = stats.permutation_test(
            (np.ones(x.shape[1]),),
            lambda signs, axis, columns=columns: signs @ columns,
            permutation_type="samples",
            vectorized=True,
            n_resamples=vectors,
            axis=-1,
        )
        parts.append(np.asarray(found.pvalue))
    return np.concatenate(parts)


def _drawn(x: Float[np.ndarray, "rows P"], resamples: int, rng: np.random.Generator) -> Float[np.ndarray, " rows"]:
    """Monte-Carlo p values from random sign vectors shared by all rows."""
    hits = np.ones(len(x))
    bound = np.abs(x.sum(axis=1)) * TIE
    step = CACHED // DRAW
    for done in range(0, resamples, DRAW):
        count = min(DRAW, resamples - done)
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(count, x.shape[1]), dtype=np.int8)
        for i in range(0, len(x), step):
            sums = np.abs(signs @ x[i : i + step].T)
            hits[i : i + step] += (sums >= bound[i : i + step]).sum(axis=0)
    return hits / (resamples + 1)
