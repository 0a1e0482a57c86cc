"""A prompt with a right answer and wrong ones to choose from, before it is given to a split.

A behaviour lists `Candidate`s: a prompt, its right answer, and every wrong answer that would do, best first. Which
wrong answer is used depends on the tokenizer (equal lengths are preferred) and on the split, so it is chosen later
(`deal`). What comes of it is a `PromptRecord`.

A group is what must not be met in training and in testing alike: a noun, a fact, an operand pair. Prompts have no
trailing space and answers begin with theirs, so that tokenising the parts gives the tokens of the whole.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A wrong answer to choose from.

    Attributes:
        text: the answer. group: the group it tells something about, if any (another country's capital); it is then
            used only in the split of that group. fields: what is recorded when it is chosen.
    """

    text: str
    group: str = ""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A prompt that may be drawn into a split.

    Attributes:
        prompt, correct: the text and its right answer. wrong: the wrong answers that would do, best first.
        group: what must stay in one split. balance: a class of which a split takes as many as of the others.
        fields: recorded as they are.
    """

    prompt: str
    correct: str
    wrong: tuple[Wrong, ...]
    group: str
    balance: str = ""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# Candidates for about as many prompts as are wanted; a short list is complete, a long one is cut.
Source = Callable[[np.random.Generator, int], Sequence[Candidate]]


def one_wrong(text: str, **fields: Any) -> tuple[Wrong, ...]:
    """The wrong answers of a prompt that has only one."""
    return (Wrong(text, fields=fields),)


def shuffled(rng: np.random.Generator, items: Sequence[Any]) -> list[Any]:
    """The items in random order."""
    return [items[int(i)] for i in rng.permutation(len(items))]
