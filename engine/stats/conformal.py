"""A bound that one more draw of the same kind stays below with a probability that is given, whatever their shape.

    bound = the ceil(share (n + 1))-th smallest of n sizes

Of n + 1 exchangeable numbers each is as likely to be any one in rank, so the last is beyond the bound of the others
with probability 1 - share at most. That takes n >= share / (1 - share): nineteen for 95 %. Numbers of different scale
are not exchangeable, so a bound is that of draws made as what is judged was (features written at the same push).

Shapes: n draws, K judged. Cost: sorting.
"""

import numpy as np
from jaxtyping import Float


def conformal_bound(sizes: Float[np.ndarray, "n K"], share: float) -> Float[np.ndarray, " K"]:
    """The bound of each column, its NaNs left out; NaN where too few are left."""
    if not len(sizes):
        return np.full(sizes.shape[1], np.nan)
    count = (~np.isnan(sizes)).sum(axis=0)
    rank = np.ceil(share * (count + 1) - 1e-9).astype(int)
    place = np.clip(rank, 1, len(sizes))[None] - 1
    bound = np.take_along_axis(np.sort(sizes, axis=0), place, axis=0)[0]
    return np.where((rank >= 1) & (rank <= count), bound, np.nan)


def fewest_draws(alpha: float) -> int:
    """Draws that a bound of share 1 - alpha takes."""
    return int(np.ceil(1 / alpha - 1e-9)) - 1
