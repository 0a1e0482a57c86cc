"""A prompt as a model runs it: its record, and the tokens of its text and answers."""

import dataclasses

from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import CORRECT, PromptRecord


@dataclasses.dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt record with its tokens.

    Attributes:
        record: the prompt. tokens: ids it is run as. answer_tokens: ids of each of the record's answers after them.
        number: keys random draws where there are some; unique in a sweep.
    """

    record: PromptRecord = dataclasses.field(hash=False)
    tokens: tuple[int, ...]
    answer_tokens: tuple[tuple[int, ...], ...] = ()
    number: int = 0

    @property
    def pair(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokens of the right and of the wrong answer (see `prompt_record.check_pair`)."""
        first, second = self.answer_tokens
        return (first, second) if self.record.answers[0].label == CORRECT else (second, first)


def tokenized(model: Model, record: PromptRecord, number: int = 0, *, answered: bool = True) -> TokenizedPrompt:
    """A prompt with the tokens that a model makes of it and, if `answered`, of its answers.

    Raises:
        ValueError: an empty or too long prompt, or answers that merge with its end.
    """
    ids, texts = tuple(model.tokens(record.content)), [answer.text for answer in record.answers if answered]
    answers = model.answer_tokens(record.content, texts) if texts else []
    return TokenizedPrompt(record, ids, tuple(map(tuple, answers)), number)
