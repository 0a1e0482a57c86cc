"""Sentiment: "The critics called the film moving and clever. In short, it was" -> " wonderful", not " terrible".

The context names two qualities, so that the text decides the answer; the counterfactual prompt names the opposite
ones. The split is by pair of qualities. No word of a context is an answer.

The published contexts ("The movie was absolutely") do not decide the answer: "absolutely" goes before praise and
blame alike. They are kept under --templates=as_published, to reconcile earlier results.
"""

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong

NAME = "sentiment_continuation"

SUBJECTS = ("film", "book", "play", "concert", "show", "novel", "album", "meal", "hotel", "speech", "game", "course")
TEMPLATES = (
    "Everyone found the {subject} {quality}. In short, it was",
    "The {subject} was {quality}. All in all, the {subject} was",
    "The critics called the {subject} {quality}. They agreed that it was",
    "I found the {subject} {quality}. I thought it was",
)
_QUALITIES = (
    "moving and clever/boring and stupid,lovely and fresh/ugly and stale,charming and warm/rude and cold,"
    "brilliant and original/dull and unoriginal,delightful from start to finish/painful from start to finish,"
    "beautifully made/badly made,a joy to experience/a chore to experience,full of life/full of mistakes,"
    "better than we had hoped/worse than we had feared,well worth the money/not worth the money,"
    "inspiring and elegant/depressing and clumsy,thrilling and polished/tedious and sloppy,"
    "impressive in every way/disappointing in every way,a great success/a complete failure,"
    "pleasant and relaxing/unpleasant and stressful,rich and rewarding/empty and frustrating,"
    "the best in years/the worst in years,so enjoyable that we came back/so dreary that we left early,"
    "outstanding and memorable/mediocre and forgettable,graceful and touching/crude and annoying,"
    "lively and full of ideas/lifeless and without ideas,a pleasant surprise/a nasty surprise,"
    "carefully prepared/carelessly prepared,easy to love/easy to hate,worthy of a prize/worthy of contempt"
)
QUALITIES = tuple(tuple(pair.split("/")) for pair in _QUALITIES.split(","))
ANSWERS = (
    (" wonderful", " terrible"),
    (" excellent", " awful"),
    (" fantastic", " horrible"),
    (" good", " bad"),
    (" superb", " dreadful"),
)
LABELS = ("positive", "negative")

PUBLISHED_SUBJECTS = (
    "movie", "book", "food", "service", "weather", "performance", "concert", "hotel", "show", "music", "experience",
    "trip", "party", "game", "meal",
)  # fmt: skip
PUBLISHED_ADVERBS = ("absolutely", "completely")
PUBLISHED_VARIANTS = ("The film was {}", "The story was {}", "The acting was {}", "I found it {}", "It was {}")


def candidates(_: np.random.Generator, __: int) -> list[Candidate]:
    """25 pairs of qualities of 12 subjects in 4 phrasings, before 5 pairs of answers."""
    return [
        _candidate(template.format(subject=subject, quality=pair[label]), pair[0], label, answers, {
            "subject": subject, "context": pair[label],
            "counterfactual_prompt": template.format(subject=subject, quality=pair[1 - label]),
        })
        for template in TEMPLATES
        for subject in SUBJECTS
        for pair in QUALITIES
        for label in (0, 1)
        for answers in ANSWERS
    ]  # fmt: skip


def as_published(_: np.random.Generator, __: int) -> list[Candidate]:
    """15 subjects and 5 variants, "absolutely" taken for praise and "completely" for blame; split by subject."""
    contexts = [f"The {subject} was {{}}" for subject in PUBLISHED_SUBJECTS] + list(PUBLISHED_VARIANTS)
    return [
        _candidate(context.format(adverb), context, label, answers, {"context": context.format(adverb)})
        for context in contexts
        for label, adverb in enumerate(PUBLISHED_ADVERBS)
        for answers in ANSWERS
    ]


def _candidate(prompt: str, group: str, label: int, answers: tuple[str, str], fields: dict) -> Candidate:
    fields = {"sentiment": LABELS[label], **fields}
    return Candidate(prompt, answers[label], one_wrong(answers[1 - label]), group, LABELS[label], fields)
