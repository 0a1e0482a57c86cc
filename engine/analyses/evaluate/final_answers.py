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

import numpy as np

from causeway.engine.analyses.prompts.prompt import BehaviourPrompt
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.handle import Model
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout, segment_lengths

MARK = "####"
RULES = ("last", "first")
# Where a model goes on to a problem of its own, its answer has ended.
NEXT_PROBLEM = "\nQuestion:"

# A minus behind a digit is a subtraction, not a sign.
_NUMBER = re.compile(r"(?<!\d)-?\$?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")


@dataclasses.dataclass(frozen=True)
class Generated:
    """What a model wrote, the number read from it (None: unreadable), and whether it is the final answer."""

    text: str
    number: Decimal | None
    correct: bool


def marked_number(text: str) -> str | None:
    """The number after the last mark, as written; None without a mark or a number behind it."""
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


def generated_answers(
    model: Model, prompts: Sequence[BehaviourPrompt], max_new_tokens: int, seed: int = 0
) -> list[Generated]:
    """Greedy continuations of prompts that have the field `final_answer`, read as numbers.

    Raises:
        ValueError: a prompt without a final answer, or one that with its continuation exceeds the context; before
            anything is generated.
    """
    wanted = [_final_answer(prompt) for prompt in prompts]
    tokens = [model.tokens(prompt.prompt) for prompt in prompts]
    for prompt, ids in zip(prompts, tokens, strict=True):
        if len(ids) - 1 + max_new_tokens > model.config.max_position:
            raise ValueError(
                f"max_new_tokens: {max_new_tokens} after the {len(ids)} tokens of {prompt.id or prompt.prompt[:40]!r} "
                f"exceed the context of {model.config.max_position}; draw fewer"
            )
    layout = Layout(rows=1, segments=segment_lengths(max_new_tokens))
    return [
        _scored(_continuation(model, ids, layout, seed), number, str(prompt.fields.get("final_number", "first")))
        for prompt, ids, number in zip(prompts, tokens, wanted, strict=True)
    ]


def _final_answer(prompt: BehaviourPrompt) -> Decimal:
    written = prompt.fields.get("final_answer")
    number = as_number(str(written)) if written is not None else None
    if number is None:
        raise ValueError(
            f"final_answer: {prompt.id or prompt.prompt[:40]!r} has {written!r}; scoring by generation needs a number"
        )
    return number


def _continuation(model: Model, ids: Sequence[int], layout: Layout, seed: int) -> str:
    sampling = Sampling(temperature=0.0, stop_tokens=model.stop_ids)
    try:
        drawn = generate_rows(
            model.transformer, ids, trials=np.zeros(1, np.int64), layout=layout, sampling=sampling, seed=seed,
            prompt_id=0,
        ).tokens[0]  # fmt: skip
    except NotFiniteError as error:
        raise error.of(f"prompt {model.text_of(ids)[:40]!r}") from None
    return model.continuation(ids, [int(token) for token in drawn if token >= 0])


def _scored(text: str, wanted: Decimal, rule: str) -> Generated:
    number = final_number(text, rule)
    return Generated(text, number, number == wanted)
