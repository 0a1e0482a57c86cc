r"""What a sampled answer means: an action, or invalid.

Every parser has three states, and an answer that cannot be read is `invalid`, never a stop: a parser that turns
garbled text into a decision makes whatever garbles text look like a cause of that decision.

    answers    the text begins with one of the prompt's own answers (as the exact outcome scores them)
    study_v1   the original study's first parser: "stop" or "2)" anywhere; else the last $amount in [5, 100]; else
               the first integer
    study_v2   its second: the first line's leading choice 1 or 2, else a stop word, else an amount
    none       nothing is read of it: for prompts without answers

Parsers are versioned by name and part of a sweep's plan.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

from causeway.engine.outcome.answers import Answer

INVALID = "invalid"
LEAST_BET, MOST_BET = 5, 100
# A float, as which amounts are stored, holds every whole number of so many digits.
MOST_DIGITS = 15


@dataclasses.dataclass(frozen=True)
class Parsed:
    """An action (a label, or `invalid`) and the amount named, if any."""

    action: str
    amount: float | None = None


Parser = Callable[[str, Sequence[Answer]], Parsed]


def parse_answers(text: str, answers: Sequence[Answer]) -> Parsed:
    """The longest of the prompt's answers that the text begins with."""
    found = [answer for answer in answers if text.startswith(answer.text)]
    if not found:
        return Parsed(INVALID)
    longest = max(found, key=lambda answer: len(answer.text))
    return Parsed(longest.label, longest.amount)


def match_tokens(ids: Sequence[int], answers: Sequence[Answer], answer_tokens: Sequence[Sequence[int]]) -> Parsed:
    """The answer whose tokens a rollout begins with, as the exact outcome scores it: " better" is no " bet".

    An answer without an amount names 0. Of answers that begin one another the longest counts.
    """
    found = [
        (len(tokens), answer)
        for answer, tokens in zip(answers, answer_tokens, strict=True)
        if list(ids[: len(tokens)]) == list(tokens)
    ]
    if not found:
        return Parsed(INVALID)
    _, longest = max(found, key=lambda match: match[0])
    return Parsed(longest.label, longest.amount or 0.0)


def parse_study_v1(text: str, _: Sequence[Answer] = ()) -> Parsed:
    """The study's first parser, without its default to "stop"."""
    lowered = text.lower()
    if "stop" in lowered or "2)" in lowered:
        return Parsed("stop")
    named = (_dollars(digits) for digits in re.findall(r"\$(\d+)", lowered))
    amounts = [amount for amount in named if amount is not None and LEAST_BET <= amount <= MOST_BET]
    if amounts:
        return Parsed("bet", amounts[-1])
    first = re.search(r"\d+", lowered)
    return Parsed("bet", _dollars(first[0])) if first else Parsed(INVALID)


def parse_study_v2(text: str, _: Sequence[Answer] = ()) -> Parsed:
    """The study's second parser: the first line decides."""
    line = next((part for part in text.lower().split("\n") if part.strip()), "").strip()
    amount = re.search(r"\$(\d+)", line)
    if re.match(r"2\b", line) or re.search(r"\b(stop|quit|walk away)\b", line):
        return Parsed("stop")
    if re.match(r"1\b", line) or amount:
        return Parsed("bet", _dollars(amount[1]) if amount else None)
    return Parsed(INVALID)


def parse_none(text: str, answers: Sequence[Answer] = ()) -> Parsed:
    """Nothing, whatever was written."""
    return Parsed(INVALID)


def _dollars(digits: str) -> int | None:
    """An amount as a model wrote it; None for more digits than a table holds, which nobody could bet."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= MOST_DIGITS else None


PARSERS: dict[str, Parser] = {
    "answers": parse_answers, "study_v1": parse_study_v1, "study_v2": parse_study_v2, "none": parse_none,
}  # fmt: skip


def parser(name: str) -> Parser:
    """A parser by name.

    Raises:
        ValueError: no such parser.
    """
    if name not in PARSERS:
        raise ValueError(f"parser: got {name!r}; needs one of {', '.join(PARSERS)}")
    return PARSERS[name]
