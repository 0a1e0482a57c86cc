"""Which prompts are right and which wrong, which of them choose neurons, and which the chosen ones are judged on.

Labels are the field `correct` of what `represent` wrote, or what one source alone says (generated, margin). Where a
model gets everything right, or nothing, graded labels divide the prompts: margins above the median of the prompts that
choose, against the others. Sides are splits, or groups held out (`direction/sides.py`); labels of the side judged on
have no say in anything that is chosen.

Shapes: P prompts, those that have a label and stand on a side.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.direction.sides import sides_of
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.representations import margins_of, right_of
from causeway.engine.stats.auc import FEWEST

LABELS = ("correct", "margin")
CLASSES = {"correct": ("wrong", "right"), "margin": ("margin up to the median", "margin above the median")}
_ADVICE = "graded labels (labels margin) divide any prompts with margins, harder or easier prompts may do it too"


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Prompts with a label.

    Attributes:
        records: of the prompts. numbers: [P] which of those given they are.
        right: [P]; of graded labels whether the margin is above `cut`.
        choose: [P] the prompts that choose; the others judge.
        clusters, strata: [P] numbers, of groups and of the strata within which prompts are compared.
        labels: correct, or margin. cut: of margins, NaN of other labels.
        told: what the sides are. without: how many given prompts have no label.
    """

    records: tuple[PromptRecord, ...]
    numbers: Int[np.ndarray, " P"]
    right: Bool[np.ndarray, " P"]
    choose: Bool[np.ndarray, " P"]
    clusters: Int[np.ndarray, " P"]
    strata: Int[np.ndarray, " P"]
    labels: str
    cut: float
    told: str
    without: int

    @property
    def groups(self) -> list[str]:
        """The group of each prompt."""
        return [record.cluster for record in self.records]


@dataclasses.dataclass(frozen=True)
class Labels:
    """How prompts are labelled and divided.

    Attributes:
        labels: correct, or margin (graded). source: generated or margin, in place of the field `correct`.
        fit_split, judge_split: splits that choose and judge. held_out: share of the groups, in their stead.
        strata: fields within whose values prompts are compared. seed: of the deal of groups.

    Raises:
        ValueError: unknown labels, or a source beside graded ones.
    """

    labels: str = "correct"
    source: str | None = None
    fit_split: str = "train"
    judge_split: str = "test"
    held_out: float = 0.0
    strata: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self):
        if self.labels not in LABELS:
            raise ValueError(f"labels: got {self.labels!r}; needs one of {', '.join(LABELS)}")
        if self.labels == "margin" and self.source not in (None, "margin"):
            raise ValueError(f"label_source: got {self.source!r}; graded labels are margins")

    def of(self, records: Sequence[PromptRecord]) -> Labelled:
        """Label and divide prompts.

        Raises:
            ValueError: no labels, too few groups of a class on a side, or a prompt without a field of `strata`.
        """
        y = self._values(records)
        on = np.flatnonzero(~np.isnan(y))
        if not len(on):
            raise ValueError(
                f"prompts: none of {len(records)} has a label; needs the metadata.jsonl that `represent` writes of "
                "prompts with a right and a wrong answer, or with a final answer and --generate"
            )
        known = [records[i] for i in on.tolist()]
        sides = sides_of(known, self.fit_split, self.judge_split, self.held_out, self.seed)
        kept = np.flatnonzero(sides.fit | sides.judge)
        y, choose, own = y[on][kept], sides.fit[kept], tuple(known[i] for i in kept.tolist())
        cut = float(np.median(y[choose])) if self.labels == "margin" else np.nan
        right = y > (cut if self.labels == "margin" else 0.5)
        clusters = np.unique([record.cluster for record in own], return_inverse=True)[1]
        found = Labelled(
            own, on[kept], right, choose, clusters, _strata(own, self.strata), self.labels, cut, sides.told,
            len(records) - len(on),
        )  # fmt: skip
        for side, name in ((choose, "choose"), (~choose, "judge")):
            _check_side(found, side, name)
        return found

    def _values(self, records: Sequence[PromptRecord]) -> Float[np.ndarray, " n"]:
        if self.labels == "margin":
            return margins_of(records)
        if self.source is not None:
            return right_of(records, self.source)
        told = [record.fields.get("correct") for record in records]
        return np.array([float(t) if isinstance(t, bool) else np.nan for t in told])


def _strata(records: Sequence[PromptRecord], names: Sequence[str]) -> Int[np.ndarray, " P"]:
    """Numbers of the strata."""
    keys = []
    for record in records:
        fields = {"behaviour": record.behaviour, **record.fields}
        if absent := [name for name in names if name not in fields]:
            raise ValueError(
                f"strata: prompt {record.id or record.text[:40]!r} has no field {absent[0]!r}; it has "
                f"{', '.join(sorted(fields))}"
            )
        keys.append(repr([fields[name] for name in names]))
    return np.unique(keys, return_inverse=True)[1]


def _check_side(found: Labelled, side: Bool[np.ndarray, " P"], name: str) -> None:
    lower, upper = CLASSES[found.labels]
    for of, word in ((found.right, upper), (~found.right, lower)):
        groups = len(np.unique(found.clusters[side & of]))
        if groups < FEWEST:
            all_of = f"none of the {int(side.sum())} prompts" if not groups else f"prompts of {groups} groups"
            verb = "is" if not groups else "are"
            raise ValueError(
                f"labels: {all_of} that {name} {verb} {word}; needs {FEWEST} groups or more of each class; {_ADVICE}"
            )
    mixed = [s for s in np.unique(found.strata[side]) if 0 < found.right[side & (found.strata == s)].mean() < 1]
    if not mixed:
        raise ValueError(
            f"strata: no value has right and wrong answers among the prompts that {name}; name other fields, or none"
        )
