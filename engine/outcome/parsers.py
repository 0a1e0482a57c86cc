r"""What a sampled answer means: an action, or invalid.

A text that cannot be read is never a decision: a parser that turns garbled text into one makes whatever garbles text
look like a cause of that decision. The study's own parsers did; what they made up is kept beside, as `valid=False`, so
that their figures can be had and nobody takes them for decisions.

    answers       the text begins with one of the prompt's own answers (as the exact outcome scores them)
    three_state   what the text decides, read as a person would: stop, bet or invalid (`three_state.py`)
    v1, v2, v3    the original study's parsers, word for word in what they do (`study_parsers.py`)
    none          nothing is read of it: for prompts without answers

Parsers are versioned by name and part of a sweep's plan.
"""

from collections.abc import Sequence

from causeway.engine.outcome import study_parsers
from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsed import INVALID, Parsed, Parser
from causeway.engine.outcome.three_state import parse_three_state


def parse_answers(text: str, answers: Sequence[Answer], context: str = "") -> Parsed:
    """The longest of the prompt's answers that the text begins with."""
    found = [answer for answer in answers if text.startswith(answer.text)]
    if not found:
        return Parsed(INVALID)
    longest = max(found, key=lambda answer: len(answer.text))
    return Parsed(longest.label, longest.amount, end=len(longest.text))


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


def parse_none(text: str, answers: Sequence[Answer], context: str = "") -> Parsed:
    """Nothing, whatever was written."""
    return Parsed(INVALID)


PARSERS: dict[str, Parser] = {
    "answers": parse_answers,
    "three_state": parse_three_state,
    "v1": study_parsers.parse_v1,
    "v2": study_parsers.parse_v2,
    "v3": study_parsers.parse_v3,
    "none": parse_none,
}
# Those that read a text alone, without knowing the prompt's own answers.
OF_TEXTS = ("three_state", "v1", "v2", "v3")
# Names that parsers had once.
FORMER = {"study_v1": "v1", "study_v2": "v2"}


def parser(name: str) -> Parser:
    """A parser by name.

    Raises:
        ValueError: no such parser.
    """
    if name not in PARSERS:
        now = f"; {name} is called {FORMER[name]} now" if name in FORMER else ""
        raise ValueError(f"parser: got {name!r}; needs one of {', '.join(PARSERS)}{now}")
    return PARSERS[name]
