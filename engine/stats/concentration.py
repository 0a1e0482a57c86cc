"""How few members hold most of a quantity, without a threshold that says who counts.

Sizes x >= 0 of n members (of prompts: how large a neuron's effect is on each), ascending x_(1) <= ... <= x_(n):

    Gini                  sum_i (2 i - n - 1) x_(i) / (n sum x)      0: all alike;  1 - 1/n: one member has all
    participation ratio   (sum x^2)^2 / sum x^4                      members that hold the squares: n alike, or 1
    top share             sum of the ceil(q n) largest / sum x       q where all are alike

The participation ratio is of x^2, as for norms, whose squares are variance. Where every size is 0 there is nothing to
hold, and all three are 0.

Shapes: sizes [n, F], a column a feature or neuron; each result [F]. Cost: a sort.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def gini(sizes: Float[np.ndarray, "n F"]) -> Float[np.ndarray, " F"]:
    """Gini coefficient of each column.

    Raises:
        ValueError: no members, or a size that is negative or no number.
    """
    x = np.sort(_checked(sizes), axis=0)
    ranks = 2 * np.arange(1, len(x) + 1) - len(x) - 1
    return _ratio(ranks @ x, len(x) * x.sum(axis=0))


def participation(sizes: Float[np.ndarray, "n F"]) -> Float[np.ndarray, " F"]:
    """Participation ratio of each column's squares, in members.

    Raises:
        ValueError: as `gini`.
    """
    x = _checked(sizes)
    # A share of the largest: fourth powers of small sizes are no numbers any more.
    square = np.square(_ratio(x, np.broadcast_to(x.max(axis=0), x.shape)))
    return _ratio(np.square(square.sum(axis=0)), np.square(square).sum(axis=0))


def top_shares(sizes: Float[np.ndarray, "n F"], shares: Sequence[float]) -> Float[np.ndarray, "Q F"]:
    """What the largest members hold of each column's sum, for each share of the members.

    Raises:
        ValueError: as `gini`, or a share outside (0, 1].
    """
    if wrong := [q for q in shares if not 0 < q <= 1]:
        raise ValueError(f"shares: got {wrong[0]}; needs shares of the members, above 0 and at most 1")
    x = -np.sort(-_checked(sizes), axis=0)
    # Rounding of q n is no further member.
    counts = [int(np.ceil(q * len(x) - 1e-9)) for q in shares]
    return np.stack([_ratio(x[:count].sum(axis=0), x.sum(axis=0)) for count in counts])


def _checked(sizes: Float[np.ndarray, "n F"]) -> Float[np.ndarray, "n F"]:
    x = np.asarray(sizes, np.float64)
    if not len(x) or not np.isfinite(x).all() or (x < 0).any():
        raise ValueError(f"sizes: got {len(x)} rows; needs one or more, of finite numbers that are not negative")
    return x


def _ratio(part: Float[np.ndarray, "*F"], whole: Float[np.ndarray, "*F"]) -> Float[np.ndarray, "*F"]:
    """0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
