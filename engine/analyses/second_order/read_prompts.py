"""Prompts as they are scored: the tokens they are run as, the one token read, and the target of their answers.

Along given directions a prompt is read at its output position. Without any, along the difference of its right and wrong
answers' logits where these part; tokens that the answers share belong to the prompt (`outcome.divergence`).
"""

import dataclasses
from collections.abc import Sequence

from causeway.engine.analyses.attribute.targets import Target, logit_difference
from causeway.engine.analyses.represent.streams import output_position
from causeway.engine.frozen.batches import ReadPrompt
from causeway.engine.model.handle import Model
from causeway.engine.outcome.divergence import diverging_answers
from causeway.engine.prompt_record import PromptRecord, check_pair
from causeway.engine.tokenized_prompt import tokenized


@dataclasses.dataclass(frozen=True)
class Scorable:
    """A prompt that can be scored.

    Attributes:
        record: it. read: tokens and position. target: of its answers, where it is read along these.
    """

    record: PromptRecord
    read: ReadPrompt
    target: Target | None = None


def placed(model: Model, record: PromptRecord, position: str = "last") -> Scorable:
    """A prompt read at its output position.

    Raises:
        ValueError: it cannot be run, or has no such position.
    """
    prompt = tokenized(model, record, answered=False)
    at = output_position(model, prompt, position)
    return Scorable(record, ReadPrompt(prompt.tokens, at, _name(record)))


def answered(model: Model, record: PromptRecord) -> Scorable:
    """A prompt read where its answers part.

    Raises:
        ValueError: it has no right and wrong answer that part, or cannot be run.
    """
    check_pair(record)
    found = diverging_answers(model, record.content, (record.correct, record.incorrect))
    model.tokens(found.prompt)
    right, wrong = found.tokens
    target = logit_difference(right, wrong, "answers")
    return Scorable(record, ReadPrompt(found.prompt, len(found.prompt) - 1, _name(record)), target)


def _name(record: PromptRecord) -> str:
    return record.id or f"prompt {record.text[:40]!r}"


def read_prompts(prompts: Sequence[Scorable]) -> tuple[ReadPrompt, ...]:
    """What is run."""
    return tuple(prompt.read for prompt in prompts)
