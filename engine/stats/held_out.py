"""Prompts held out: what is chosen on some prompts is estimated on others.

The strongest of many noisy means is partly the luckiest: estimated on the prompts that chose it, its mean is too large
and its interval misses the truth more often than it says. Where other prompts estimate, both are right, at the price
of the prompts that chose. The prompt is the unit: all that is read of one lies on one side.
"""

import numpy as np
from jaxtyping import Bool

from causeway.engine import scalars


def check_share(share: float) -> None:
    """Refuse what is no share.

    Raises:
        ValueError: outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"held_out: got {share}; needs a share of the prompts, at least 0 and below 1")


def held_out(prompts: int, share: float, seed: int = 0) -> Bool[np.ndarray, " P"]:
    """Which prompts are held out for the estimates: a random `share` of them, at least one on each side.

    Raises:
        ValueError: a share outside [0, 1), or one above 0 of fewer than two prompts.
    """
    check_share(share)
    mask = np.zeros(prompts, bool)
    if not share:
        return mask
    if prompts < 2:
        raise ValueError(f"held_out: {prompts} prompts cannot be split; needs two or more, or a share of 0")
    count = min(max(round(share * prompts), 1), prompts - 1)
    mask[np.random.default_rng((scalars.seed(seed), 4)).permutation(prompts)[:count]] = True
    return mask
