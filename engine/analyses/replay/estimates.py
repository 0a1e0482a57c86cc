"""What one comparison says of every target, the prompt being the unit.

    x_p = mean over a prompt's trials of (edited - plain),    delta = mean over prompts of x_p

with p and interval over prompts from one method (`stats.paired`). Trials are averaged first: at the last prompt token
all trials of a prompt are one number, and after it they share their prompt, so a test that takes them for observations
finds what is not there (`tests/engine/analyses/replay/test_null.py`).

With halves, p comes from one half of the prompts and delta and interval from the other, and the change is `replicated`
where the other half has its sign and an interval that leaves 0 out.

    correlation = sum_ps dx dy / sqrt(sum dx^2 sum dy^2),    dx, dy: a trial's change less its prompt's mean change

of source x and target y over trials within prompts. Prompts that move both are taken out of it; nothing is left at the
last prompt token, where there is no correlation.

Shapes: P prompts, S trials, T targets. Cost: elementwise, and a median a target.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.replay.gather import Readings
from causeway.engine.stats.paired import FEWEST_PROMPTS, PairedMean, paired_mean
from causeway.engine.stats.splits import selection_half

Halves = tuple[Bool[np.ndarray, " P"], Bool[np.ndarray, " P"]]
# Freedom over trials within prompts below which there is no correlation.
FEWEST_FREEDOM = 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """All targets of one comparison and step, [T]; NaN where the data cannot tell.

    Attributes:
        delta, low, high: mean change and its interval. prompts: that have it. p: of the test.
        delta_selection, prompts_selection: of the prompts that p comes from. replicated: -1 where it cannot be told.
        correlation: over trials within prompts.
    """

    delta: Float[np.ndarray, " T"]
    low: Float[np.ndarray, " T"]
    high: Float[np.ndarray, " T"]
    p: Float[np.ndarray, " T"]
    prompts: Int[np.ndarray, " T"]
    delta_selection: Float[np.ndarray, " T"]
    prompts_selection: Int[np.ndarray, " T"]
    replicated: Int[np.ndarray, " T"]
    correlation: Float[np.ndarray, " T"]


def halves_of(prompt_ids: Int[np.ndarray, " P"], groups: list[str], split: bool, seed: int) -> Halves | None:
    """Selection and estimation prompts; None without a split, or with too few prompts for two halves."""
    if not split or len(prompt_ids) < 2 * FEWEST_PROMPTS:
        return None
    chosen = selection_half(prompt_ids, groups, seed=seed)
    return chosen, ~chosen


def estimated(
    readings: Readings, source: int | None, halves: Halves | None, confidence: float = 0.95
) -> Estimate:  # fmt: skip
    """The estimates of a comparison.

    Args:
        source: the column of the feature that is set; None where it was not recorded.
    """
    change = readings.change
    means = prompt_means(change)
    everyone = np.ones(len(means), bool)
    select, estimate = halves or (everyone, everyone)
    tested, found = (paired_mean(means[half].T, confidence=confidence) for half in (select, estimate))
    correlation = np.full(means.shape[1], np.nan)
    if source is not None:
        correlation = within_prompts(change[:, :, source], change)
    return Estimate(
        found.effect, found.low, found.high, tested.p, found.prompts, tested.effect, tested.prompts,
        np.full(means.shape[1], -1) if halves is None else _replicated(tested, found), correlation,
    )  # fmt: skip


def prompt_means(change: Float[np.ndarray, "P S T"]) -> Float[np.ndarray, "P T"]:
    """Means over trials that have a value; NaN where none does."""
    known = ~np.isnan(change)
    with np.errstate(invalid="ignore"):
        return np.where(known, change, 0.0).sum(axis=1) / known.sum(axis=1)


def within_prompts(dx: Float[np.ndarray, "P S"], dy: Float[np.ndarray, "P S T"]) -> Float[np.ndarray, " T"]:
    """Pearson's correlation over trials, both sides centred in each prompt; NaN where one of them does not vary."""
    known = ~np.isnan(dx[:, :, None]) & ~np.isnan(dy)
    x, y = (_centred(np.where(known, side, np.nan)) for side in (np.broadcast_to(dx[:, :, None], dy.shape), dy))
    freedom = known.sum(axis=(0, 1)) - known.any(axis=1).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (x * y).sum(axis=(0, 1)) / np.sqrt(np.square(x).sum(axis=(0, 1)) * np.square(y).sum(axis=(0, 1)))
    return np.where(freedom >= FEWEST_FREEDOM, np.clip(r, -1, 1), np.nan)


def _centred(values: Float[np.ndarray, "P S T"]) -> Float[np.ndarray, "P S T"]:
    """Less their prompt's mean; what is rounding of equal numbers is 0, as is what is not there."""
    left = values - prompt_means(values)[:, None]
    size = np.abs(np.nan_to_num(values)).max(axis=1, keepdims=True, initial=0.0)
    return np.where(np.abs(left) > 1e-12 * size, left, 0.0)


def _replicated(tested: PairedMean, found: PairedMean) -> Int[np.ndarray, " T"]:
    """1 where the other half has the sign and its interval leaves 0 out, 0 where not, -1 where it cannot be told."""
    with np.errstate(invalid="ignore"):
        holds = (np.sign(tested.effect) == np.sign(found.effect)) & ((found.low > 0) | (found.high < 0))
    return np.where(np.isnan(found.low) | np.isnan(tested.p), -1, holds.astype(int))
