"""What kept words do to held-out prompts: errors and margins by arm, and what follows.

A prompt of an arm has a margin for each of the arm's words; it counts with the mean of its margins, and with the share
of its words under which the model is wrong (margin <= 0). Prompts of a group count as one, with their mean.

    margin    adversarial - other, nats, paired over groups: interval and p of `stats.paired`
    errors    share of wrong answers, adversarial - other: Newcombe's interval of paired proportions over groups, and
              an exact sign test over the groups in which the two arms differ

`other` is: the prompts as they stand, random words of the same slot and length, the words of the other way. All tests
are one family, with q. The words make the model err where it errs more with them than with random words and than on
the prompts as they stand, both with q below `ALPHA` and an interval above 0. A single test could say so of any word
put there, which is why the clean prompts alone do not decide.

Shapes: W words of an arm, P held-out prompts, C groups.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from causeway.engine.analyses.adversarial.search import ADVERSARIAL, CLEAN, OPPOSITE, RANDOM, over_groups
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import paired_mean, verdict
from causeway.engine.stats.proportions import FEWEST_CLUSTERS, paired_risk_difference, wilson_interval

ALPHA = 0.05
OTHERS = (CLEAN, RANDOM, OPPOSITE)
MARGIN, ERRORS = "margin", "errors"


@dataclasses.dataclass(frozen=True)
class Judged:
    """What follows from held-out prompts.

    Attributes:
        arms: of each arm, with its error rate, interval and mean margin.
        contrasts: adversarial against each other arm, in margin and in errors, with effect, low, high, p and q.
        confirmed: whether the words make the model err. verdict: what is to be said, a sentence each.
    """

    arms: list[dict[str, Any]]
    contrasts: list[dict[str, Any]]
    confirmed: bool
    verdict: list[str]


def judged(margins: Mapping[str, Float[np.ndarray, "W P"]], clusters: Sequence[str], method: Method = "bh") -> Judged:
    """Compare arms on held-out prompts.

    Args:
        margins: of each arm, the prompts as they stand ([1, P]) among them; NaN where a prompt is not filled.
        clusters: of each prompt. method: of q.

    Raises:
        ValueError: no prompt is filled.
    """
    if np.isnan(margins[ADVERSARIAL]).all():
        raise ValueError("prompts: no held-out prompt can take a kept word; give more prompts")
    groups = {name: _of_groups(own, clusters) for name, own in margins.items()}
    arms = [_arm(name, *groups[name], len(margins[name])) for name in margins]
    contrasts = [
        _contrast(groups, other, outcome) for other in OTHERS if other in groups for outcome in (MARGIN, ERRORS)
    ]
    for row, q in zip(contrasts, adjust(np.array([row["p"] for row in contrasts]), method).q.tolist(), strict=True):
        row["q"] = q
    confirmed = all(_worse(_row(contrasts, other, ERRORS)) for other in (CLEAN, RANDOM))
    return Judged(arms, contrasts, confirmed, _verdict(arms, contrasts, confirmed))


def _of_groups(
    margins: Float[np.ndarray, "W P"], clusters: Sequence[str]
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Mean margin and share of errors of each group; NaN where it has none."""
    known = ~np.isnan(margins)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        sums = np.stack([np.where(known, margins, 0).sum(axis=0), ((margins <= 0) & known).sum(axis=0)])
        both = over_groups(sums / np.where(count, count, np.nan), clusters)
    return both[0], both[1]


def _arm(name: str, margin: Float[np.ndarray, " C"], errors: Float[np.ndarray, " C"], words: int) -> dict[str, Any]:
    known = errors[~np.isnan(errors)]
    count = len(known)
    low, high = wilson_interval(np.array(known.sum()), np.array(count))
    enough = count >= FEWEST_CLUSTERS
    return {
        "arm": name, "words": 0 if name == CLEAN else words, "groups": count,
        "error_rate": float(known.mean()) if count else np.nan, "low": float(low) if enough else np.nan,
        "high": float(high) if enough else np.nan, "margin": float(np.nanmean(margin)) if count else np.nan,
    }  # fmt: skip


def _contrast(groups: Mapping[str, tuple[np.ndarray, np.ndarray]], other: str, outcome: str) -> dict[str, Any]:
    """Adversarial less another arm, over the groups that have both."""
    place = (MARGIN, ERRORS).index(outcome)
    ours, theirs = groups[ADVERSARIAL][place], groups[other][place]
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    ours, theirs = ours[both], theirs[both]
    row: dict[str, Any] = {"against": other, "outcome": outcome, "groups": len(ours)}
    if outcome == MARGIN:
        found = paired_mean((ours - theirs)[None])
        cannot = verdict(len(ours), int(found.distinct[0]))
        numbers = [float(column[0]) for column in (found.effect, found.low, found.high, found.p)]
    else:
        cannot, numbers = verdict(len(ours)), _errors(ours, theirs)
    return row | dict(zip(("effect", "low", "high", "p"), numbers, strict=True)) | {"cannot_tell": cannot}


def _errors(ours: Float[np.ndarray, " C"], theirs: Float[np.ndarray, " C"]) -> list[float]:
    """Difference of error rates with its interval, and p of as many groups for one arm as for the other."""
    count = len(ours)
    if count < FEWEST_CLUSTERS:
        return [float(np.mean(ours - theirs)) if count else np.nan, np.nan, np.nan, np.nan]
    found = paired_risk_difference(theirs, ours)
    more, fewer = int((ours > theirs).sum()), int((ours < theirs).sum())
    p = stats.binomtest(more, more + fewer).pvalue if more + fewer else 1.0
    return [*found, float(p)]


def _row(contrasts: Sequence[Mapping[str, Any]], other: str, outcome: str) -> Mapping[str, Any]:
    return next(row for row in contrasts if (row["against"], row["outcome"]) == (other, outcome))


def _worse(row: Mapping[str, Any]) -> bool:
    """Whether the adversarial words do worse than the other arm, beyond chance; NaN says no."""
    beyond = row["low"] > 0 if row["outcome"] == ERRORS else row["high"] < 0
    return bool(beyond and row["q"] < ALPHA)


def _verdict(arms: Sequence[Mapping[str, Any]], contrasts: Sequence[Mapping[str, Any]], confirmed: bool) -> list[str]:
    rates = ", ".join(f"{row['arm']} {row['error_rate']:.0%}" for row in arms)
    errors, margin = (_row(contrasts, RANDOM, outcome) for outcome in (ERRORS, MARGIN))
    found = [f"held out, wrong answers: {rates}"]
    if errors["cannot_tell"]:
        return [*found, errors["cannot_tell"]]
    told = f"{100 * errors['effect']:+.0f} points in [{100 * errors['low']:+.0f}, {100 * errors['high']:+.0f}]"
    judgement = "these words make it err" if confirmed else "that they make it err cannot be told from random words"
    if not confirmed and _worse(errors):
        judgement = "more than with random words, but not more than with none"
    found.append(f"against random words {told}, q {errors['q']:.2g}: {judgement}")
    if margin["cannot_tell"]:
        return [*found, f"margin: {margin['cannot_tell']}"]
    told = f"{margin['effect']:+.3f} nats in [{margin['low']:+.3f}, {margin['high']:+.3f}], q {margin['q']:.2g}"
    return [*found, f"margin against random words {told}" + (": lower" if _worse(margin) else "")]
