"""Prompts as they are ranked on: tokens up to where their two answers part, and the two tokens that follow.

    outcome = logit(right) - logit(wrong) at the last token        nats: the log of their odds

Which prompts choose and which estimate: those of the split `train` choose where there are others too; else a share of
all prompts is held out, by a hash of their ids (`stats.splits`).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from causeway.engine.choosing import TRAIN, by_split
from causeway.engine.outcome.divergence import first_divergence
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.splits import check_share, held_out
from causeway.engine.tokenized_prompt import TokenizedPrompt

FEWEST = 2


@dataclasses.dataclass(frozen=True)
class Question:
    """A prompt and its two answers.

    Attributes:
        tokens: of the prompt and of what its answers share; the last one is the output position.
        answers: the right and the wrong answer's next token.
        name: of the prompt, for errors.
    """

    tokens: tuple[int, ...]
    answers: tuple[int, int]
    name: str


def questions(prompts: Sequence[TokenizedPrompt], first: int) -> list[Question]:
    """What is asked of prompts that `scorable` has passed.

    Args:
        prompts: with a right and a wrong answer.
        first: the first position that counts.

    Raises:
        ValueError: a prompt of no token that counts.
    """
    found = []
    for prompt in prompts:
        parted, name = first_divergence(prompt.tokens, prompt.pair), prompt.record.id or repr(prompt.record.text[:40])
        if len(parted.prompt) <= first:
            raise ValueError(
                f"{name}: has one token, which stands at position 0 and does not count; give a longer prompt, or "
                "include_first"
            )
        right, wrong = parted.tokens
        found.append(Question(parted.prompt, (right, wrong), name))
    return found


def answers_of(asked: Sequence[Question]) -> Int[np.ndarray, "P 2"]:
    """Tokens of the right and the wrong answers."""
    return np.array([question.answers for question in asked], np.int32)


def estimating(records: Sequence[PromptRecord], share: float, seed: int) -> Bool[np.ndarray, " P"]:
    """Which prompts estimate what the others choose; none where all do both.

    Args:
        records: ids are distinct within a behaviour and split.
        share: held out where the records' splits do not say it.
        seed: of the hash.

    Raises:
        ValueError: a share that is none, or fewer prompts than choosing takes.
    """
    check_share(share)
    if by_split(records):
        mask = np.array([record.split != TRAIN for record in records])
    else:
        mask = held_out([f"{r.behaviour}:{r.split}:{r.id}:{r.text}" for r in records], share, seed)
    if (count := int((~mask).sum())) < FEWEST:
        raise ValueError(
            f"prompts: {count} of {len(mask)} would choose layers and neurons; means and variances need {FEWEST} or "
            "more, and intervals 10: give more"
        )
    return mask


def sides(asked: Sequence[Question], apart: Bool[np.ndarray, " P"]) -> tuple[list[Question], list[Question]]:
    """Prompts that choose and prompts that estimate; all do both where none is held apart."""
    choosing, others = ([q for q, out in zip(asked, apart, strict=True) if out == side] for side in (False, True))
    return choosing, others or choosing
