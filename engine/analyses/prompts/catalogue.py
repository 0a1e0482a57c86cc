"""The behaviours by name: what makes their candidates, their usual sizes, and when a model passes.

min_score_diff     a prompt is a margin success when the normalised difference exceeds this (nats a token)
success_threshold  a model passes when at least this share of prompts is
"""

import dataclasses
import math
from types import MappingProxyType

from causeway.engine.analyses.prompts import own_prompts
from causeway.engine.analyses.prompts.deal import SPLITS, Sizes
from causeway.engine.analyses.prompts.prompt import Source
from causeway.engine.analyses.prompts.sets import (
    agreement_attractors,
    arithmetic,
    factual_recall,
    grammar_agreement,
    gsm8k,
    indirect_objects,
    sentiment_continuation,
    slot_published,
    slot_states,
    synthetic_arithmetic,
    synthetic_logic,
)
from causeway.engine.analyses.prompts.sets.bundled_tasks import PREFIX
from causeway.engine.tasks.suite import TASKS

SMALL, LARGE = Sizes(80, 20), Sizes(5000, 500)


@dataclasses.dataclass(frozen=True)
class Criterion:
    """When a prompt is a margin success, and how many of them a model needs to pass."""

    min_score_diff: float = 2.0
    success_threshold: float = 0.8

    def __post_init__(self):
        if not math.isfinite(self.min_score_diff):
            raise ValueError(f"min_score_diff: got {self.min_score_diff}; needs a number of nats a token")

    def changed(self, min_score_diff: float | None, success_threshold: float | None) -> "Criterion":
        """The criterion with what is not None put in its place."""
        given = {"min_score_diff": min_score_diff, "success_threshold": success_threshold}
        return dataclasses.replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """One entry.

    Attributes:
        candidates: None where they come from a file only. as_published: the document's own templates, if it has any.
        sizes: of the splits. criterion: of the baseline.
    """

    candidates: Source | None = None
    as_published: Source | None = None
    sizes: Sizes = SMALL
    criterion: Criterion = Criterion()


def _as_published(module, criterion: Criterion = Criterion()) -> Behaviour:
    return Behaviour(module.candidates, module.as_published, criterion=criterion)


BEHAVIOURS: MappingProxyType[str, Behaviour] = MappingProxyType(
    {
        grammar_agreement.NAME: _as_published(grammar_agreement),
        factual_recall.NAME: _as_published(factual_recall),
        sentiment_continuation.NAME: _as_published(sentiment_continuation, Criterion(1.5, 0.75)),
        arithmetic.NAME: _as_published(arithmetic),
        synthetic_arithmetic.NAME: Behaviour(synthetic_arithmetic.candidates, sizes=LARGE),
        synthetic_logic.NAME: Behaviour(synthetic_logic.candidates, sizes=LARGE),
        agreement_attractors.NAME: Behaviour(agreement_attractors.candidates),
        indirect_objects.NAME: Behaviour(indirect_objects.candidates),
        slot_states.NAME: Behaviour(slot_states.candidates),
        slot_states.STUDY_NAME: Behaviour(slot_states.study),
        slot_published.NAME: Behaviour(slot_published.candidates, sizes=Sizes(2, 0, SPLITS)),
        gsm8k.NAME: Behaviour(),
        own_prompts.NAME: Behaviour(),
        **{f"{PREFIX}{task}": Behaviour() for task in TASKS},
    }
)
RECORDS = MappingProxyType({module.NAME: module.from_record for module in (agreement_attractors, gsm8k, own_prompts)})


def behaviour(name: str) -> Behaviour:
    """A behaviour by name.

    Raises:
        ValueError: no such behaviour.
    """
    if name not in BEHAVIOURS:
        raise ValueError(f"behaviours: got {name!r}; needs one of {', '.join(BEHAVIOURS)}")
    return BEHAVIOURS[name]


def criterion_of(name: str) -> Criterion:
    """The criterion of a behaviour; that of prompts of one's own for any other name."""
    return BEHAVIOURS[name].criterion if name in BEHAVIOURS else Criterion()
