"""Capitals: "the capital of France is" -> " Paris".

The facts are to be learned, so every country is in training; held out are whole phrasings, made of words that occur
in other phrasings.
"""

import numpy as np

from causeway.engine.tasks.example import SPLITS, Example, Split, pick

NAME = "capitals"

_FACTS = (
    "France:Paris,Germany:Berlin,Italy:Rome,Spain:Madrid,Portugal:Lisbon,Greece:Athens,Austria:Vienna,"
    "Poland:Warsaw,Hungary:Budapest,Norway:Oslo,Sweden:Stockholm,Finland:Helsinki,Denmark:Copenhagen,"
    "Ireland:Dublin,Russia:Moscow,Ukraine:Kyiv,Turkey:Ankara,Egypt:Cairo,Kenya:Nairobi,Ghana:Accra,Japan:Tokyo,"
    "China:Beijing,Thailand:Bangkok,Vietnam:Hanoi,Iran:Tehran,Iraq:Baghdad,Canada:Ottawa,Cuba:Havana,Peru:Lima,"
    "Chile:Santiago,Korea:Seoul,Australia:Canberra"
)
FACTS = tuple(tuple(fact.split(":")) for fact in _FACTS.split(","))

PHRASINGS: dict[Split, tuple[str, ...]] = {
    "train": (
        "the capital of {} is",
        "{} has its capital in",
        "the main city of {} is",
        "the government of {} sits in",
        "{} is governed from",
        "the capital city in {} is",
        "the ministers of {} live in",
        "question: main city of {}? answer:",
        "question: which city governs {}? answer:",
        "in {} the capital is called",
    ),
    "held_out": (
        "the capital city of {} is",
        "question: capital of {}? answer:",
        "the government of {} is in",
        "in {} the main city is called",
    ),
}


def sample(rng: np.random.Generator, split: Split) -> Example:
    """A random country in a random phrasing of the split; the wrong answer is another country's capital.

    Raises:
        ValueError: the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; needs one of {SPLITS}")
    first, other = (int(n) for n in rng.choice(len(FACTS), size=2, replace=False))
    country, capital = FACTS[first]
    prompt = pick(rng, PHRASINGS[split]).format(country)
    return Example(prompt=prompt, answer=f" {capital}", task=NAME, wrong=(f" {FACTS[other][1]}",))
