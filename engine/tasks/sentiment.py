"""Sentiment continuation: "the film was dull. the acting was weak. i felt" -> " sad".

A review has one to three clauses "the {aspect} was [not] {adjective}"; "not" turns an adjective round. Clauses agree,
except that a last clause introduced by "but" opposes the earlier ones and decides. The question asks for the verdict
in one of three ways, each with a good and a bad word. Held out: combinations of (first adjective, last adjective,
question).
"""

import numpy as np

from causeway.engine.tasks.example import Example, Split, draw_until, pick

NAME = "sentiment"

ASPECTS = ("film", "acting", "story", "music", "ending", "cast", "script", "camera")
ADJECTIVES: dict[bool, tuple[str, ...]] = {
    True: ("lovely", "bright", "clever", "funny", "warm", "strong", "fresh", "charming", "moving", "superb"),
    False: ("dull", "weak", "boring", "clumsy", "cold", "slow", "stale", "messy", "awful", "dreary"),
}
QUESTIONS: dict[str, tuple[str, str]] = {
    "i felt": ("sad", "happy"),
    "my verdict:": ("bad", "good"),
    "i will see it": ("never", "again"),
}


def sample(rng: np.random.Generator, split: Split) -> Example:
    """A random item of the split."""
    return draw_until(lambda: _make(rng), split)


def _make(rng: np.random.Generator) -> tuple[str, Example]:
    positive = bool(rng.integers(2))
    count = int(rng.integers(1, 4))
    turned = count > 1 and rng.random() < 0.35
    polarities = [positive != (turned and i < count - 1) for i in range(count)]
    clauses = [_clause(rng, polarity) for polarity in polarities]
    texts = [text for text, _ in clauses]
    review = ". ".join(texts[:-1]) + (" but " if turned else ". " if count > 1 else "") + texts[-1]
    question = pick(rng, tuple(QUESTIONS))
    words = QUESTIONS[question]
    key = f"{clauses[0][1]}/{clauses[-1][1]}/{question}"
    return key, Example(
        prompt=f"{review}. {question}", answer=f" {words[positive]}", task=NAME, wrong=(f" {words[not positive]}",)
    )


def _clause(rng: np.random.Generator, positive: bool) -> tuple[str, str]:
    """A clause of the given net polarity, and its adjective."""
    negated = rng.random() < 0.25
    adjective = pick(rng, ADJECTIVES[positive != negated])
    return f"the {pick(rng, ASPECTS)} was {'not ' if negated else ''}{adjective}", adjective
