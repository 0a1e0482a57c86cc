r"""Problems with a final answer, scored by what a model writes.

Which number of a text is its answer:

    last    the number after the last "####"; without one, the last number of the text (reasoning comes first)
    first   the first number of the text (a completion: what follows the answer is of no interest)

Numbers are compared as numbers: "1,200", "1200.0" and "$1200" are one. A text without a number is unreadable, which is
counted by itself and is never right.
"""

import dataclasses
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from causeway.engine.calls.continuations import Continuations, Continued
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord

MARK = "####"
RULES = ("last", "first")
# Where a model goes on to a problem of its own, its answer has ended.
NEXT_PROBLEM = "\nQuestion:"

# A minus after a digit is a subtraction, not a sign.
_NUMBER = re.compile(r"(?<!\d)-?\$?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")


@dataclasses.dataclass(frozen=True)
class Generated:
    """What a model wrote, the number read from it (None: unreadable), and whether it is the final answer."""

    text: str
    number: Decimal | None
    correct: bool


def marked_number(text: str) -> str | None:
    """The number after the last mark, as written; None without a mark or a number after it."""
    if MARK not in text:
        return None
    found = _NUMBER.search(text.rsplit(MARK, 1)[1])
    return found[0] if found else None


def final_number(text: str, rule: str = "last") -> Decimal | None:
    """The number that a text gives as its answer.

    Raises:
        ValueError: an unknown rule.
    """
    if rule not in RULES:
        raise ValueError(f"final_number: got {rule!r}; needs one of {', '.join(RULES)}")
    own = text.split(NEXT_PROBLEM, 1)[0]
    if rule == "last" and (marked := marked_number(own)):
        return as_number(marked)
    found = [_NUMBER.search(own)] if rule == "first" else list(_NUMBER.finditer(own))[-1:]
    return as_number(found[0][0]) if found and found[0] else None


def as_number(written: str) -> Decimal | None:
    """A written number without its signs of thousands and money; None where it is none."""
    try:
        return Decimal(re.sub(r"[,$\s]", "", written))
    except InvalidOperation:
        return None


def generation_of(model: Model, prompts: Sequence[PromptRecord], max_new_tokens: int) -> Continuations:
    """Greedy continuations of prompts that have the field `final_answer`, as a job.

    Raises:
        ValueError: a prompt without a final answer, or one that with its continuation exceeds the context; before
            anything is generated.
    """
    for prompt in prompts:
        _final_answer(prompt)
    return continuations_of(model, prompts, max_new_tokens)


def continuations_of(model: Model, prompts: Sequence[PromptRecord], max_new_tokens: int) -> Continuations:
    """Greedy continuations of any prompts, as a job.

    Raises:
        ValueError: a prompt that with its continuation exceeds the context.
    """
    named = [(tuple(model.tokens(prompt.content)), _name(prompt)) for prompt in prompts]
    return Continuations(model, tuple(Continued(ids, 0, name) for ids, name in named), max_new_tokens)


def scored(prompts: Sequence[PromptRecord], texts: Sequence[str]) -> list[Generated]:
    """What was written for each prompt, read as a number and compared with its final answer."""
    numbers = [
        final_number(text, str(prompt.fields.get("final_number", "first")))
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    return [
        Generated(text, number, number == _final_answer(prompt))
        for prompt, text, number in zip(prompts, texts, numbers, strict=True)
    ]


def _name(prompt: PromptRecord) -> str:
    return f"prompt {prompt.id or prompt.text[:40]!r}"


def _final_answer(prompt: PromptRecord) -> Decimal:
    written = prompt.fields.get("final_answer")
    number = as_number(str(written)) if written is not None else None
    if number is None:
        raise ValueError(
            f"final_answer: {prompt.id or prompt.text[:40]!r} has {written!r}; scoring by generation needs a number"
        )
    return number
