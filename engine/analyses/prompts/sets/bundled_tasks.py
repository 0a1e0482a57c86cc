"""The bundled model's own tasks as behaviours, train and test from the splits that it was trained and tested on.

Test items are held out by the task (`engine.tasks.example.split_of`), so a bundled model's test scores are those of
problems it has not met. The group of an item is its prompt.
"""

import numpy as np

from causeway.engine.analyses.prompts.deal import TEST, TRAIN
from causeway.engine.analyses.prompts.prompt import Candidate, Wrong
from causeway.engine.tasks import suite
from causeway.engine.tasks.example import Example, Split

PREFIX = "bundled_"
_SPLITS: dict[str, Split] = {TRAIN: "train", TEST: "held_out"}


def candidates(task: str, split: str, rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Different items of a task and split; fewer than wanted where the task has no more."""
    examples = suite.distinct(task, _SPLITS[split], max(wanted, 1), int(rng.integers(2**31)))
    return [_candidate(example) for example in examples]


def _candidate(example: Example) -> Candidate:
    written = example.answer.removesuffix(".")
    fields = {"final_answer": written} if written.isdigit() else {}
    wrong = tuple(Wrong(text) for text in example.wrong)
    return Candidate(example.prompt, example.answer, wrong, example.prompt, fields=fields)
