"""The effect of one contrast on one outcome, for all features at once, with the interval and test that fit the data.

Over prompts (the rule): each prompt gives one paired difference of means over its trials,

    x[f, p] = mean_trials(arm) - mean_trials(reference),    effect_f = mean_p x[f, p]

with p and interval over prompts from one method (`engine.stats.paired`), or neither where the prompts cannot tell.

Within prompts (sampled trials of fewer prompts than that method needs): the trials are the observations, prompts are
taken as they are, and nothing is claimed about other prompts; the interval's name says so.
Shares get exact tests a prompt and Newcombe's interval; over P prompts their limits combine by the same rule (MOVER)

    low = effect - sqrt(sum_p (d_p - l_p)^2) / P,    high = effect + sqrt(sum_p (u_p - d_p)^2) / P

Amounts get Welch's t with the Satterthwaite freedom over all cells.

Shapes: cells [F, P]; results [F]. Cost: elementwise, and a median a row.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.patching.cells import Cells
from causeway.engine.stats.paired import FEWEST_DISTINCT, FEWEST_PROMPTS, METHOD, paired_mean, verdict
from causeway.engine.stats.proportions import CountPair, ExactTest, combined_exact_test, risk_difference
from causeway.engine.stats.strata import StratifiedDifference, stratified_difference

Unit = Literal["prompt", "trial", "none"]


@dataclasses.dataclass(frozen=True)
class EstimateSettings:
    """How effects are estimated.

    Attributes:
        confidence: of all intervals.
        trial_test: exact test for shares within a few prompts.
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
    if treated.square is None:
        effect, low, high = _mean_risk_difference(treated, reference, settings.confidence)
        p = (
            combined_exact_test(_counts(treated, reference), settings.trial_test)
            if tested
            else np.full(len(effect), np.nan)
        )
        interval, test = f"Newcombe, {scope}", f"{settings.trial_test} exact, {scope}"
    else:
        pooled = _welch(treated, reference)
        effect, p = pooled.difference, pooled.p if tested else pooled.p * np.nan
        low, high = pooled.interval(settings.confidence)
        interval, test = f"Welch t, {scope}", f"Welch t, {scope}"
    both = ((treated.count > 0) & (reference.count > 0)).sum(axis=1)
    return Estimate(
        both, _trials(treated, reference), both, effect, low, high, p, "trial", interval,
        test if tested else "none",
        f"{n} prompt(s): too few to generalise over prompts (use {FEWEST_PROMPTS}); interval and p cover {scope}",
    )  # fmt: skip


def _mean_risk_difference(
    treated: Cells, reference: Cells, confidence: float
) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, " F"], Float[np.ndarray, " F"]]:
    """Mean over prompts of the risk differences, with Newcombe's limits combined (MOVER)."""
    difference, low, high = risk_difference(_counts(treated, reference), confidence)
    known = ~np.isnan(difference)
    with np.errstate(invalid="ignore", divide="ignore"):
        prompts = known.sum(axis=1)
        effect = np.where(known, difference, 0.0).sum(axis=1) / prompts
        below = np.sqrt(np.where(known, np.square(difference - low), 0.0).sum(axis=1)) / prompts
        above = np.sqrt(np.where(known, np.square(high - difference), 0.0).sum(axis=1)) / prompts
    return effect, effect - below, effect + above


def _welch(treated: Cells, reference: Cells) -> StratifiedDifference:
    """Mean over prompts of the differences of means, each prompt counting the same."""
    parts = [a.T for c in (reference, treated) for a in (c.mean, c.variance, c.count)]
    return stratified_difference(*parts, equal_weights=True)


def _counts(treated: Cells, reference: Cells) -> CountPair:
    return CountPair(*(a.astype(np.int64) for a in (reference.total, reference.count, treated.total, treated.count)))


def _trials(treated: Cells, reference: Cells) -> Int[np.ndarray, " F"]:
    return np.where(reference.count > 0, treated.count, 0).sum(axis=1).astype(np.int64)
