"""Which prompts directions are fitted on, which they are judged on, and by which labels.

Sides are the splits that the prompts' records name, or groups dealt by their hash. Prompts of one group (the same
operands, the same question) are never on both sides: what is learned of one is not tested on its likes.

Shapes: P prompts.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from causeway.engine import scalars
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.representations import LABEL_SOURCES, Representations
from causeway.engine.stats.splits import held_out

# The share of the groups that is judged on where nobody names one and the prompts have one split.
SHARE = 0.25
FEWEST = 4


@dataclasses.dataclass(frozen=True)
class Sides:
    """The prompts' two sides.

    Attributes:
        fit, judge: [P], never both. told: what they are, for people.
    """

    fit: Bool[np.ndarray, " P"]
    judge: Bool[np.ndarray, " P"]
    told: str


def sides_of(records: Sequence[PromptRecord], fit: str, judge: str, share: float, seed: int) -> Sides:
    """Both sides.

    Args:
        fit, judge: splits by name. share: of the groups that are judged on; 0 takes the splits, and `SHARE` where all
            prompts have one split.
        seed: of the deal of groups.

    Raises:
        ValueError: no prompt of a split, one split on both sides, a group on both sides, or a single group.
    """
    splits = [record.split for record in records]
    if not share and len(set(splits)) > 1:
        return _by_split(records, fit, judge)
    groups = [record.cluster for record in records]
    distinct = sorted(set(groups))
    if len(distinct) < 2:
        raise ValueError(f"held_out: all {len(records)} prompts are of one group; needs prompts of several groups")
    out = dict(zip(distinct, held_out(distinct, share or SHARE, seed).tolist(), strict=True))
    judged = np.array([out[group] for group in groups], bool)
    return Sides(~judged, judged, f"{share or SHARE:.0%} of {len(distinct)} groups held out")


def _by_split(records: Sequence[PromptRecord], fit: str, judge: str) -> Sides:
    splits, groups = np.array([r.split for r in records]), np.array([r.cluster for r in records])
    if fit == judge:
        raise ValueError(f"fit_split, judge_split: both {fit!r}; needs two splits, or held_out, a share of the groups")
    for name, split in (("fit_split", fit), ("judge_split", judge)):
        if split not in splits:
            raise ValueError(
                f"{name}: no prompt of split {split!r}; there are {', '.join(sorted(set(splits)))}; name another, or "
                "held_out, a share of the groups"
            )
    fitted, judged = splits == fit, splits == judge
    if both := sorted(set(groups[fitted].tolist()) & set(groups[judged].tolist())):
        raise ValueError(
            f"fit_split, judge_split: {len(both)} groups have prompts in both, {both[0]!r} among them; needs each "
            "group in one split, or held_out, a share of the groups"
        )
    return Sides(fitted, judged, f"fitted on {fit}, judged on {judge}")


def label_source(found: Representations, source: str | None) -> str:
    """The source of labels: the one asked for, else what the model wrote where all labelled prompts were written to.

    Raises:
        ValueError: an unknown source, or one that labels no prompt.
    """
    known = {name: ~np.isnan(found.right(name)) for name in LABEL_SOURCES}
    if source is None:
        every = np.logical_or.reduce(list(known.values()))
        source = "generated" if every.any() and known["generated"][every].all() else "margin"
    found.right(source)
    if not known[source].any():
        raise ValueError(
            f"label_source: no prompt is labelled by {source}; needs prompts with a right and a wrong answer (margin), "
            "or `represent --generate` of prompts with a final_answer (generated)"
        )
    return source


def check_fit(y: Float[np.ndarray, " P"], groups: Sequence[str], kind: str) -> None:
    """Refuse labels that no direction can be fitted on.

    Args:
        y: of the fit side, 0 and 1 or graded. groups: of each prompt. kind: correct, or margin.

    Raises:
        ValueError: too few groups, of either label or in all; or all labels equal.
    """
    if kind == "margin":
        if len(set(groups)) < 2 * FEWEST or not np.ptp(y) > 0:
            raise ValueError(
                f"labels: {len(set(groups))} groups with margins from {y.min():.3g} to {y.max():.3g}; graded labels "
                f"need {2 * FEWEST} groups or more, and margins that differ"
            )
        return
    for right, other in ((True, "right"), (False, "wrong")):
        count = len({group for group, label in zip(groups, y > 0, strict=True) if label == right})
        if count == 0:
            all_of = "wrong" if right else "right"
            raise ValueError(
                f"labels: all {len(y)} prompts that are fitted on are {all_of}, so there is no direction of "
                "correctness; graded labels give one (labels margin), or harder or easier prompts"
            )
        if count < FEWEST:
            raise ValueError(f"labels: {count} groups with {other} answers; needs {FEWEST} or more, or labels margin")


def graded_cut(fit: Float[np.ndarray, " n"], judge: Float[np.ndarray, " m"]) -> tuple[float, str]:
    """Where margins are cut in two classes: at 0 where both sides have both signs, else at the fit side's median."""
    both = all((side > 0).any() and (side <= 0).any() for side in (fit, judge))
    return (0.0, "sign") if both else (float(np.median(fit)), "median")


def listed(names: Sequence[str] | None, known: Sequence[str], kind: str) -> list[str]:
    """Methods by name, by default all.

    Raises:
        ValueError: one that these labels do not have, or one twice.
    """
    chosen = list(known) if names is None else list(names)
    wrong = [name for name in chosen if name not in known]
    if wrong or len(set(chosen)) < len(chosen):
        got = scalars.shown(wrong[0] if wrong else chosen)
        raise ValueError(f"methods: got {got}; labels {kind} have {', '.join(known)}, each once")
    return chosen
