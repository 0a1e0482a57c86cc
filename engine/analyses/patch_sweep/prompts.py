"""Prompts of a sweep: records with their tokens, and the tokens of their answers."""

import dataclasses
import re
from collections.abc import Sequence

from causeway.engine import scalars
from causeway.engine.model.handle import Model
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt, tokenized


def sweep_prompt(model: Model, record: PromptRecord, place: int, common: Sequence[Answer] = ()) -> TokenizedPrompt:
    """A prompt as it is run.

    Args:
        record: with a label, and perhaps answers.
        place: its number where its id is none; the number keys the random draws.
        common: answers, where it has none of its own.

    Raises:
        ValueError: an empty or too long prompt, an id outside the range of numbers, or answers that merge with it.
    """
    number = scalars.integer(int(record.id), "id") if re.fullmatch(r"-?\d+", record.id, re.ASCII) else place
    return tokenized(model, dataclasses.replace(record, answers=record.answers or tuple(common)), number)
