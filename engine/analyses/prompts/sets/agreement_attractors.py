"""Agreement across attractors: "The keys near the cabinet" -> " are", not " is".

The verb agrees with the first noun; an attractor of the same or the other number stands between. The counterfactual
prompt has the subject in its other number and everything else as it is. The split is by subject noun.

Files of minimal pairs (clean_prefix, patch_prefix, clean_answer, patch_answer) give the same behaviour: `from_record`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong
from causeway.engine.analyses.prompts.sets.grammar_agreement import NOUNS
from causeway.engine.prompt_lines import texts

NAME = "agreement_attractors"

PAIR_FIELDS = ("clean_prefix", "patch_prefix", "clean_answer", "patch_answer")
PHRASES = ("near the {}", "behind the {}", "with the {}", "next to the {}", "that the {} saw", "that met the {}")
VERBS = ((" is", " are"), (" was", " were"), (" has", " have"), (" does", " do"))
NUMBERS = ("singular", "plural")
# Attractors drawn for each subject, number and phrase.
DRAWN = 4


def candidates(rng: np.random.Generator, _: int) -> list[Candidate]:
    """Every subject in both numbers with every phrase, attractors drawn in both numbers."""
    return [
        _candidate(subject, plural, phrase, rng)
        for subject in range(len(NOUNS))
        for plural in (0, 1)
        for phrase in PHRASES
        for _ in range(DRAWN)
    ]


def _candidate(subject: int, plural: int, phrase: str, rng: np.random.Generator) -> Candidate:
    attractor = (subject + int(rng.integers(1, len(NOUNS)))) % len(NOUNS)
    other = int(rng.integers(2))
    verb = VERBS[int(rng.integers(len(VERBS)))]
    ending = phrase.format(NOUNS[attractor][other])
    return Candidate(
        f"The {NOUNS[subject][plural]} {ending}", verb[plural], one_wrong(verb[1 - plural]),
        group=NOUNS[subject][0], balance=f"{NUMBERS[plural]}/{NUMBERS[other]}",
        fields={
            "subject": NOUNS[subject][plural], "number": NUMBERS[plural], "attractor": NOUNS[attractor][other],
            "attractor_number": NUMBERS[other],
            "counterfactual_prompt": f"The {NOUNS[subject][1 - plural]} {ending}",
        },
    )  # fmt: skip


def from_record(record: Mapping[str, Any]) -> Candidate:
    """A candidate from a minimal pair; both prefixes of a pair are one group.

    Raises:
        ValueError: a field is missing or not a text.
    """
    clean, patch, correct, incorrect = texts(record, PAIR_FIELDS)
    fields = {name: value for name, value in record.items() if name not in PAIR_FIELDS}
    return Candidate(
        clean, correct, one_wrong(incorrect), group=" / ".join(sorted((clean, patch))),
        balance=str(record.get("case", "")), fields={**fields, "counterfactual_prompt": patch},
    )  # fmt: skip
