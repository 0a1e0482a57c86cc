"""One item of a task with a known answer, and how items are divided into training and held-out ones.

`prompt + answer` is the whole text; a prompt has no trailing space and an answer starts with its own space where
there is one, so that tokenising the parts gives the tokens of the whole. An item belongs to a split by a hash of its
key (the part that must be new: an operand pair, a pair of nouns), never by a draw, so the same item is held out in
every run, on every machine and under every seed.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Literal

import numpy as np

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "held_out")

MAX_DRAWS = 10_000


@dataclasses.dataclass(frozen=True)
class Example:
    """A prompt, the answer that follows it, and the answers it competes with.

    Attributes:
        prompt: text before the answer, without a trailing space.
        answer: text of the answer, with its leading space if it has one, without the end-of-sequence token.
        task: name of the task.
        wrong: plausible wrong answers of the same form (for logit differences); may be empty.
        train_answer: the answer written in training texts where it differs from `answer` (label noise).
    """

    prompt: str
    answer: str
    task: str
    wrong: tuple[str, ...] = ()
    train_answer: str | None = None

    @property
    def text(self) -> str:
        """Prompt and training answer as one text."""
        return self.prompt + (self.train_answer or self.answer)


def split_of(key: str, held_out_percent: int = 10) -> Split:
    """Which split an item belongs to, from its key alone."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
    return "held_out" if number % 100 < held_out_percent else "train"


def draw_until(make: Callable[[], tuple[str, Example]], split: Split, held_out_percent: int = 10) -> Example:
    """Draw (key, example) pairs until one belongs to the split.

    Raises:
        ValueError: the split is unknown, or has no item among many draws.
    """
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; needs one of {SPLITS}")
    for _ in range(MAX_DRAWS):
        key, example = make()
        if split_of(key, held_out_percent) == split:
            return example
    raise ValueError(f"split: no {split} item in {MAX_DRAWS} draws; held_out_percent is {held_out_percent}")


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One option, uniformly."""
    return options[int(rng.integers(len(options)))]
