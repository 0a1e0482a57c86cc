"""Cohen's d of two independent groups, for many features at once.

    d = (mean_2 - mean_1) / s_p,    s_p^2 = ((n_1 - 1) s_1^2 + (n_2 - 1) s_2^2) / (n_1 + n_2 - 2)

so d is positive where the second group is higher. d describes a difference, never a cause: it is for selecting
features. It comes without an interval: those known hold for normal values, which sparse features are far from.

Shapes: arrays over features, any shape; group sizes are scalars or broadcast. Cost: elementwise.
"""

import numpy as np
from jaxtyping import Float


def cohens_d(
    mean_1: Float[np.ndarray, "*F"],
    std_1: Float[np.ndarray, "*F"],
    n_1: Float[np.ndarray, "*F"] | int,
    mean_2: Float[np.ndarray, "*F"],
    std_2: Float[np.ndarray, "*F"],
    n_2: Float[np.ndarray, "*F"] | int,
) -> Float[np.ndarray, "*F"]:
    """Standardised mean difference, second group minus first.

    Args:
        mean_1, mean_2: group means.
        std_1, std_2: group standard deviations with n - 1 in the denominator.
        n_1, n_2: group sizes.

    Returns:
        d; NaN where the pooled deviation is zero or a group has fewer than two members.
    """
    freedom = np.asarray(n_1 + n_2 - 2, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.sqrt(((n_1 - 1) * np.square(std_1) + (n_2 - 1) * np.square(std_2)) / freedom)
        return np.where(pooled > 0, (mean_2 - mean_1) / pooled, np.nan)
