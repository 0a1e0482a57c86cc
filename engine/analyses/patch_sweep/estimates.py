"""The effect of one contrast on one outcome, for all features at once, with the interval and test that fit the data.

Over prompts (the rule): each prompt gives one paired difference of means over its trials,

    x[f, p] = mean_trials(arm) - mean_trials(reference),    effect_f = mean_p x[f, p]

with p and interval over prompts from one method (`engine.stats.paired`), or neither where the prompts cannot tell.

Within prompts (sampled trials of fewer prompts than that method needs): the trials are the observations, prompts are
taken as they are, and nothing is claimed about other prompts; the interval's name says so.
Shares of one prompt get an exact test and Newcombe's interval. Shares of several prompts, and amounts, get p and
interval of Welch's t with the Satterthwaite freedom over all cells, each prompt counting the same; neither where no
cell varies.

Shapes: cells [F, P]; results [F]. Cost: elementwise, and a median a row.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.analyses.patch_sweep.cells import Cells
from causeway.engine.stats.paired import FEWEST_DISTINCT, FEWEST_PROMPTS, METHOD, paired_mean, verdict
from causeway.engine.stats.proportions import CountPair, ExactTest, exact_test, risk_difference
from causeway.engine.stats.strata import StratifiedDifference, stratified_difference

Unit = Literal["prompt", "trial", "none"]


@dataclasses.dataclass(frozen=True)
class EstimateSettings:
    """How effects are estimated.

    Attributes:
        confidence: of all intervals.
        trial_test: exact test for shares within one prompt.
    """

    confidence: float = 0.95
    trial_test: ExactTest = "fisher"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Effects of all features in one contrast, group and outcome.

    Attributes:
        prompts, trials: [F] prompts with both arms, and their trials in the treated arm.
        distinct: [F] prompts whose difference stands off the others' (`stats.paired`); all of them within prompts.
        effect, low, high, p: [F]; NaN where the data cannot tell, p also where no test was asked for.
        unit: what the interval and the p generalise over. interval, test: their names.
        note: what a reader must be told, or "".
    """

    prompts: Int[np.ndarray, " F"]
    trials: Int[np.ndarray, " F"]
    distinct: Int[np.ndarray, " F"]
    effect: Float[np.ndarray, " F"]
    low: Float[np.ndarray, " F"]
    high: Float[np.ndarray, " F"]
    p: Float[np.ndarray, " F"]
    unit: Unit
    interval: str
    test: str
    note: str


def estimate(
    treated: Cells, reference: Cells, settings: EstimateSettings, *, sampled: bool, tested: bool = True
) -> Estimate:
    """Compares two arms.

    Args:
        treated, reference: cells [F, P] of the same features and prompts.
        sampled: whether trials are random draws (exact probabilities have no variation within a prompt).
        tested: whether to compute p values.
    """
    prompts = treated.count.shape[1]
    if sampled and 0 < prompts < FEWEST_PROMPTS:
        return _within_prompts(treated, reference, settings, tested)
    return _over_prompts(treated, reference, settings, tested)


def _over_prompts(treated: Cells, reference: Cells, settings: EstimateSettings, tested: bool) -> Estimate:
    mean = paired_mean(treated.mean - reference.mean, confidence=settings.confidence)
    told = not np.isnan(mean.low).all()
    return Estimate(
        mean.prompts, _trials(treated, reference), mean.distinct, mean.effect, mean.low, mean.high,
        mean.p if tested else np.full(len(mean.p), np.nan),
        "prompt" if told else "none", METHOD if told else "none", METHOD if told and tested else "none",
        _note(treated.count.shape[1], told, bool(np.isnan(mean.low).any())),
    )  # fmt: skip


def _note(prompts: int, told: bool, somewhere_not: bool) -> str:
    """What a reader must know of rows without interval."""
    if prompts < FEWEST_PROMPTS:
        return verdict(prompts)
    if somewhere_not:
        rows = "rows with" if told else "all rows have"
        return (
            f"{rows} n_prompts below {FEWEST_PROMPTS} or n_distinct (prompts that stand off the others) below "
            f"{FEWEST_DISTINCT}: cannot tell"
        )
    return ""


def _within_prompts(treated: Cells, reference: Cells, settings: EstimateSettings, tested: bool) -> Estimate:
    n = treated.count.shape[1]
    scope = "trials within one prompt" if n == 1 else f"trials within {n} prompts"
    if treated.square is None and n == 1:
        counts = CountPair(*(column[:, 0] for column in _counts(treated, reference)))
        effect, low, high = risk_difference(counts, settings.confidence)
        p = exact_test(counts, settings.trial_test) if tested else np.full(len(effect), np.nan)
        interval, test = f"Newcombe, {scope}", f"{settings.trial_test} exact, {scope}"
    else:
        pooled = _welch(treated, reference)
        effect, p = _mean_difference(pooled, treated, reference), pooled.p if tested else pooled.p * np.nan
        low, high = pooled.interval(settings.confidence)
        interval = test = f"Welch t, {scope}"
        # A cell that does not vary has an interval of no width, which says nothing.
        low, high = (np.where(pooled.error > 0, end, np.nan) for end in (low, high))
    both = ((treated.count > 0) & (reference.count > 0)).sum(axis=1)
    return Estimate(
        both, _trials(treated, reference), both, effect, low, high, p, "trial", interval,
        test if tested else "none",
        f"{n} prompt(s): too few to generalise over prompts (use {FEWEST_PROMPTS}); interval and p cover {scope}",
    )  # fmt: skip


def _mean_difference(pooled: StratifiedDifference, treated: Cells, reference: Cells) -> Float[np.ndarray, " F"]:
    """The pooled difference; where single trials show no variance, of all prompts that have both arms."""
    differences = treated.mean - reference.mean
    known = ~np.isnan(differences)
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = np.where(known, differences, 0.0).sum(axis=1) / known.sum(axis=1)
    return np.where(np.isnan(pooled.difference), plain, pooled.difference)


def _welch(treated: Cells, reference: Cells) -> StratifiedDifference:
    """Mean over prompts of the differences of means, each prompt counting the same."""
    # A share is the mean of zeros and ones, whose squares they are.
    cells = (c if c.square is not None else Cells(c.count, c.total, c.total) for c in (reference, treated))
    parts = [a.T for c in cells for a in (c.mean, c.variance, c.count)]
    return stratified_difference(*parts, equal_weights=True)


def _counts(treated: Cells, reference: Cells) -> CountPair:
    return CountPair(*(a.astype(np.int64) for a in (reference.total, reference.count, treated.total, treated.count)))


def _trials(treated: Cells, reference: Cells) -> Int[np.ndarray, " F"]:
    return np.where(reference.count > 0, treated.count, 0).sum(axis=1).astype(np.int64)
