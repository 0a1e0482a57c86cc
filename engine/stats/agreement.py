"""How far one set of numbers is told by another.

    slope      sum(x y) / sum(x^2): 1 where y is as large as x
    spearman   correlation of their ranks
    same_sign  share of the same sign, of those where both are other than 0

Shapes: K pairs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from causeway.engine.stats.spearman import spearman


class Agreement(NamedTuple):
    """The three; NaN where one is not to be had."""

    slope: float
    spearman: float
    same_sign: float


def agreement(x: Float[np.ndarray, " K"], y: Float[np.ndarray, " K"]) -> Agreement:
    """How far y is what x says."""
    square, both = float(x @ x), (x != 0) & (y != 0)
    return Agreement(
        float(x @ y) / square if square else np.nan,
        spearman(x, y).r,
        float((np.sign(x) == np.sign(y))[both].mean()) if both.any() else np.nan,
    )
