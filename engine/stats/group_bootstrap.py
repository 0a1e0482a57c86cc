"""Intervals of any function of sums over prompts, by resampling whole groups of them.

Groups (prompts on one fact) are dealt into blocks, at most `BLOCKS` of them, by the order of a keyed hash; where groups
are fewer, each is a block. A quantity f of sums is computed of each resample of blocks with replacement, and its
interval is the basic one on a logarithmic scale, which repeats the bias of f in the resamples away from f:

    [f^2 / q_high, f^2 / q_low],    q of the resampled values

Shapes: P prompts, B blocks, R resamples. Cost: that of f, R times.
"""

import numpy as np
from jaxtyping import Float, Int, Num

from causeway.engine.stats.splits import folds

BLOCKS, RESAMPLES, FEWEST = 64, 400, 8
_PURPOSE = 12


def blocks_of(groups: list[str], seed: int = 0) -> Int[np.ndarray, " P"]:
    """The number of each prompt's block."""
    distinct, which = np.unique(groups, return_inverse=True)
    if len(distinct) <= BLOCKS:
        return which.astype(np.int32)
    return folds(distinct.tolist(), BLOCKS, seed=seed)[which]


def resampled(blocks: int, seed: int = 0) -> Float[np.ndarray, "R B"]:
    """How often each block comes in each resample."""
    rng = np.random.default_rng((seed, _PURPOSE))
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES).astype(np.float64)


def block_sums(values: Num[np.ndarray, "P ..."], blocks: Int[np.ndarray, " P"]) -> Float[np.ndarray, "B ..."]:
    """Sums over the prompts of each block."""
    found = np.zeros((int(blocks.max()) + 1, *values.shape[1:]))
    np.add.at(found, blocks, values)
    return found


def basic_interval(
    found: Float[np.ndarray, " F"], values: Float[np.ndarray, "R F"], blocks: int, confidence: float = 0.95
) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, " F"]]:
    """The ends of each column's interval; NaN with fewer than `FEWEST` blocks, or where f is not above 0.

    Args:
        found: f of all prompts. values: of the resamples; those that are NaN or 0 do not count.
    """
    tail = (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log(np.where(values > 0, values, 1)), np.nan)
        usable = (found > 0) & np.isfinite(logs).any(axis=0) & (blocks >= FEWEST)
        low, high = np.nanquantile(np.where(usable, logs, 0.0), [tail, 1 - tail], axis=0)
        middle = np.log(np.where(found > 0, found, np.nan))
    ends = np.exp(2 * middle - high), np.exp(2 * middle - low)
    return np.where(usable, ends[0], np.nan), np.where(usable, ends[1], np.nan)
