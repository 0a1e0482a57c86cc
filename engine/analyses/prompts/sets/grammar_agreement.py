"""Subject-verb agreement: "The cats near the door" -> " are", not " is".

The prompt names a subject, alone or with a phrase after it; the verb is in the present or past, and its number is the
subject's. The split is by noun, both numbers of a noun together: the text depends on little else.

The published list has 20 nouns, 15 verb pairs and no phrase in the prompt, so that its 600 items are 40 texts.
"""

from collections.abc import Sequence

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong

NAME = "grammar_agreement"

_NOUNS = (
    "cat/cats dog/dogs bird/birds boy/boys girl/girls child/children man/men woman/women student/students "
    "teacher/teachers doctor/doctors car/cars book/books tree/trees house/houses flower/flowers friend/friends "
    "player/players writer/writers singer/singers farmer/farmers lawyer/lawyers nurse/nurses pilot/pilots "
    "driver/drivers worker/workers baker/bakers judge/judges king/kings queen/queens soldier/soldiers "
    "painter/painters dancer/dancers artist/artists engineer/engineers scientist/scientists manager/managers "
    "neighbor/neighbors visitor/visitors guest/guests brother/brothers sister/sisters uncle/uncles aunt/aunts "
    "horse/horses cow/cows lion/lions tiger/tigers bear/bears rabbit/rabbits monkey/monkeys elephant/elephants "
    "duck/ducks frog/frogs snake/snakes spider/spiders train/trains boat/boats plane/planes truck/trucks"
)
NOUNS = tuple(tuple(pair.split("/")) for pair in _NOUNS.split())
_VERBS = (
    "is/are was/were has/have does/do sits/sit stands/stand looks/look seems/seem appears/appear goes/go comes/come "
    "stays/stay moves/move waits/wait needs/need"
)
VERBS = tuple(tuple(f" {form}" for form in pair.split("/")) for pair in _VERBS.split())
PHRASES = (
    "in the room", "near the door", "by the window", "on the hill", "behind the house", "at the station",
    "across the street", "under the bridge", "next to the river", "in the garden",
)  # fmt: skip
PUBLISHED_NOUNS = NOUNS[:20]


def candidates(_: np.random.Generator, __: int) -> list[Candidate]:
    """60 nouns in both numbers, alone and with 10 phrases, before 15 verbs."""
    return [c for phrase in ("", *PHRASES) for c in _with_phrase(NOUNS, phrase)]


def as_published(_: np.random.Generator, __: int) -> list[Candidate]:
    """Each subject alone ("The {subject}"), with the 20 nouns of the document."""
    return _with_phrase(PUBLISHED_NOUNS, "")


def _with_phrase(nouns: Sequence[tuple[str, ...]], phrase: str) -> list[Candidate]:
    ending = f" {phrase}" if phrase else ""
    return [
        Candidate(
            f"The {pair[plural]}{ending}", verb[plural], one_wrong(verb[1 - plural]), group=pair[0],
            balance=("singular", "plural")[plural],
            fields={
                "subject": pair[plural], "number": ("singular", "plural")[plural], "verb_pair": [v[1:] for v in verb],
                "continuation": phrase, "counterfactual_prompt": f"The {pair[1 - plural]}{ending}",
            },
        )
        for pair in nouns
        for plural in (0, 1)
        for verb in VERBS
    ]  # fmt: skip
