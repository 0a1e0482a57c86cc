"""False-discovery control over a family of tests, with untestable members kept in place.

A test that cannot be made (no variation, no data) has p = NaN. It stays in the array, gets q = NaN, and is not counted
in the family size m, so that a feature which never fires neither helps nor hurts the others. BH is right for
independent or positively dependent tests, BY for any dependence (it costs a factor of about ln m + 0.58).

    q_(i) = min_{j >= i} p_(j) m c / j,    c = 1 for BH, sum_{k <= m} 1/k for BY

The adjustment itself is `scipy.stats.false_discovery_control`. Shapes: any; the family is the whole array.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

Method = Literal["bh", "by"]
METHODS: tuple[str, ...] = ("bh", "by")


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of tests after adjustment.

    Attributes:
        q: adjusted p values in the shape they came, NaN where p was.
        tested: m, the number of tests made.
    """

    q: Float[np.ndarray, "*tests"]
    tested: int


def adjust(p: Float[np.ndarray, "*tests"], method: Method = "bh") -> Family:
    """Adjusts all p values of an array as one family.

    Args:
        p: p values in [0, 1]; NaN marks a test that could not be made.
        method: "bh" or "by".

    Raises:
        ValueError: an unknown method, or a p value outside [0, 1].
    """
    if method not in METHODS:
        raise ValueError(f"correction: got {method!r}; needs one of {METHODS}")
    p = np.asarray(p, dtype=np.float64)
    known = ~np.isnan(p)
    if np.any((p[known] < 0) | (p[known] > 1)):
        raise ValueError("p values: some lie outside [0, 1]; pass probabilities, NaN for a test that was not made")
    q = np.full(p.shape, np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method=method)
    return Family(q, int(known.sum()))
