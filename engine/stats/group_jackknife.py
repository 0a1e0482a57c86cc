"""An interval of a ratio of sums over clusters, from few sums: the delete-a-group jackknife.

Tokens of one text are not independent, so a rate over tokens has the text as its unit. Texts are dealt into G groups
at random; with c_g and n_g the sums of a group, r = sum c / sum n, and r_g the same without group g,

    variance = (G - 1) / G sum_g (r_g - r)^2        interval = r +- t_{G - 1} sqrt(variance)

G sums stand for all texts, however many there are. Source: Kott 2001, "The delete-a-group jackknife", Journal of
Official Statistics 17(4).

Shapes: G groups, F ratios.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats


def group_jackknife(
    counts: Int[np.ndarray, "G F"], sizes: Int[np.ndarray, " G"], confidence: float = 0.95
) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, " F"], Float[np.ndarray, " F"]]:
    """Ratios with the ends of their intervals, which stay within 0 and 1; NaN ends where nothing was counted, or fewer
    than two groups hold anything: no spread is seen there.

    Args:
        counts: c, of each group. sizes: n. confidence: of the interval.
    """
    full = np.asarray(sizes) > 0
    c, n = np.asarray(counts, np.float64)[full], np.asarray(sizes, np.float64)[full]
    ratio = c.sum(axis=0) / max(n.sum(), 1.0)
    groups = len(n)
    if groups < 2:
        return ratio, np.full_like(ratio, np.nan), np.full_like(ratio, np.nan)
    without = (c.sum(axis=0) - c) / (n.sum() - n)[:, None]
    spread = np.sqrt((groups - 1) / groups * ((without - ratio) ** 2).sum(axis=0))
    reach = stats.t.ppf((1 + confidence) / 2, groups - 1) * spread
    ends = (np.where(ratio > 0, np.clip(end, 0, 1), np.nan) for end in (ratio - reach, ratio + reach))
    return ratio, *ends
