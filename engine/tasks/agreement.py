"""Subject-verb agreement across attractors: "today the keys near the cabinet" -> " are".

The verb agrees with the first noun and not with the attractors between them (a prepositional phrase, a relative
clause, two of them, or none); the opening word chooses the verb. Held out: pairs of (subject noun, first attractor),
so that a held-out item combines nouns never seen together, and without an attractor the combination of subject and
opening (holding out a bare noun altogether would teach that a verb never follows it).
"""

import numpy as np

from causeway.engine.tasks.example import Example, Split, draw_until, pick

NAME = "agreement"

_NOUNS = (
    "key/keys cabinet/cabinets guard/guards doctor/doctors teacher/teachers window/windows book/books "
    "farmer/farmers pilot/pilots garden/gardens table/tables child/children river/rivers dog/dogs house/houses "
    "painter/painters"
)
NOUNS = tuple(tuple(noun.split("/")) for noun in _NOUNS.split())
LINKS = ("near", "behind", "beside", "above", "under", "of")
CLAUSES = ("saw", "liked", "found", "followed")
VERBS = {"today": ("is", "are"), "yesterday": ("was", "were"), "always": ("has", "have"), "here": ("does", "do")}


def sample(rng: np.random.Generator, split: Split) -> Example:
    """A random item of the split."""
    return draw_until(lambda: _make(rng), split)


def _make(rng: np.random.Generator) -> tuple[str, Example]:
    subject, plural = int(rng.integers(len(NOUNS))), int(rng.integers(2))
    opening = pick(rng, tuple(VERBS))
    phrase, attractor = _attractors(rng)
    key = f"{subject}/{plural}/{opening}" if attractor is None else f"{subject}/{attractor}"
    prompt = f"{opening} the {NOUNS[subject][plural]}{phrase}"
    answer, wrong = f" {VERBS[opening][plural]}", f" {VERBS[opening][1 - plural]}"
    return key, Example(prompt=prompt, answer=answer, task=NAME, wrong=(wrong,))


def _attractors(rng: np.random.Generator) -> tuple[str, int | None]:
    """Zero, one or two attractor phrases, and the first one's noun."""
    count = int(rng.choice(3, p=(0.15, 0.5, 0.35)))
    nouns = [int(n) for n in rng.integers(len(NOUNS), size=count)]
    phrase = "".join(_attractor(rng, noun) for noun in nouns)
    return phrase, nouns[0] if nouns else None


def _attractor(rng: np.random.Generator, noun: int) -> str:
    form = NOUNS[noun][int(rng.integers(2))]
    if rng.random() < 0.3:
        return f" that the {form} {pick(rng, CLAUSES)}"
    return f" {pick(rng, LINKS)} the {form}"
