"""How far two measurements of the same n things agree.

    difference_i = b_i - a_i
    within_i     = [a_i in the interval of b_i] + [b_i in the interval of a_i]

An interval says where a mean over prompts like those lies, so two runs whose values lie in each other's intervals say
the same as far as either can tell; it is no test of the difference, for which the prompts themselves are needed.
Cost: a sort, for the rank correlation.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

# By how many of the two lie in the other's interval, and where one has none.
VERDICTS = ("neither in the other's interval", "one in the other's interval", "each in the other's interval",
            "no interval")  # fmt: skip
NO_INTERVAL = len(VERDICTS) - 1
FEWEST_RANKED = 3


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What is said of n pairs.

    Attributes:
        difference: the second less the first. verdict: numbers of `VERDICTS`.
        same_sign, signed: pairs with one sign, of those in which neither is 0.
        spearman: rank correlation; NaN for fewer than three pairs, and where one side has one value.
    """

    difference: Float[np.ndarray, " n"]
    verdict: Int[np.ndarray, " n"]
    same_sign: int
    signed: int
    spearman: float


def agreement(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    first_interval: Float[np.ndarray, "n 2"],
    second_interval: Float[np.ndarray, "n 2"],
) -> Agreement:
    """Compare pair by pair.

    Args:
        first, second: values, finite. first_interval, second_interval: low and high of each, NaN where there is none.

    Raises:
        ValueError: a value is not finite.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("first, second: got a value that is not finite; needs pairs in which both are known")
    inside = _inside(first, second_interval).astype(int) + _inside(second, first_interval)
    known = np.isfinite(first_interval).all(1) & np.isfinite(second_interval).all(1)
    signed = (first != 0) & (second != 0)
    return Agreement(
        difference=second - first,
        verdict=np.where(known, inside, NO_INTERVAL),
        same_sign=int((np.sign(first) == np.sign(second))[signed].sum()),
        signed=int(signed.sum()),
        spearman=_spearman(first, second),
    )


def _inside(value: Float[np.ndarray, " n"], interval: Float[np.ndarray, "n 2"]) -> np.ndarray:
    return (interval[:, 0] <= value) & (value <= interval[:, 1])


def _spearman(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float:
    if len(first) < FEWEST_RANKED or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)
