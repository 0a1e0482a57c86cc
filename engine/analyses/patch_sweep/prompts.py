"""Prompts of a sweep: records with their tokens, and the tokens of their answers."""

import re
from collections.abc import Sequence

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.design import SweepPrompt
from causeway.engine.model.handle import Model
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import PromptRecord


def sweep_prompt(model: Model, record: PromptRecord, place: int, common: Sequence[Answer] = ()) -> SweepPrompt:
    """A prompt as it is run.

    Args:
        record: with a label, and perhaps answers.
        place: its number where its id is none; the number keys the random draws.
        common: answers, where it has none of its own.

    Raises:
        ValueError: an empty or too long prompt, an id outside the range of numbers, or answers that merge with it.
    """
    answers = record.answers or tuple(common)
    number = scalars.integer(int(record.id), "id") if re.fullmatch(r"-?\d+", record.id, re.ASCII) else place
    ids = tuple(model.tokens(record.content))
    continued = model.answer_tokens(record.content, [answer.text for answer in answers]) if answers else []
    return SweepPrompt(number, record.group, record.text, ids, answers, tuple(map(tuple, continued)))
