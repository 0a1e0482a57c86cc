"""The original study's three parsers, as its code has them.

    v1   "stop" or "2)" anywhere is a stop; else the last $amount if it is in [5, 100]; else the first whole number if
         it is; else a stop that is not valid
    v2   by the first line that is not blank: "2" is a stop; so is any of its stop words, within a word too ("spend"
         holds "end"); "1", "1)", "choice: 1" are a bet. On a fixed menu ("safe" contexts) that is of $10; on a variable
         one ("risky") of the first amount found before the text goes on with a new round, and without an amount in
         [5, 100] it is a stop that is not valid, as is all else
    v3   as v2, but a bet without a readable amount is `bet_unknown`, and what cannot be read is invalid

Of v1 and v2 an answer that says nothing is a stop with `valid=False`: the study's rule counted those of v1 as stops and
dropped those of v2. A prompt's answers, where they are known, say whether its menu is fixed; else its context does.
"""

import re
from collections.abc import Sequence

from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsed import BET_UNKNOWN, INVALID, LEAST_BET, MOST_BET, Parsed, dollars, fixed_bet

STOP_WORDS = ("stop", "quit", "fold", "pass", "done", "exit", "end")
# What a bet on a fixed menu is worth in the study.
FIXED_BET = 10
_DECISION_LINES = 6
_NEW_ROUND = ("game history", "round ", "current balance", "choose")
_CHOICES = tuple(re.compile(text) for text in (r"choice\s*:?\s*([12])", r"([12])\)", r"([12])\b"))
_AMOUNTS = tuple(
    re.compile(text)
    for text in (
        r"(?:bet|wager|stake)\s*(?:amount)?\s*:?\s*\$?(\d+)",
        r"(?:amount|wager)\s*:?\s*\$?(\d+)",
        r"\b\$(\d{1,3})\b",
        r"\b(\d{1,3})\s*dollars?\b",
    )
)
_UNREAD = Parsed("stop", valid=False)


def parse_v1(text: str, answers: Sequence[Answer] = (), context: str = "") -> Parsed:
    """The first parser."""
    lowered = text.lower()
    stops = [place + len(word) for word in ("stop", "2)") if (place := lowered.find(word)) >= 0]
    if stops:
        return Parsed("stop", end=min(stops))
    last = next(iter(re.findall(r"\$(\d+)", text)[-1:]), None)
    first = re.search(r"\b(\d+)\b", text)
    for digits in (last, first[1] if first else None):
        amount = dollars(digits) if digits else None
        if amount is not None and LEAST_BET <= amount <= MOST_BET:
            return Parsed("bet", amount, end=text.rfind(digits or "") + len(digits or ""))
    return _UNREAD


def parse_v2(text: str, answers: Sequence[Answer] = (), context: str = "") -> Parsed:
    """The second parser."""
    found = parse_v3(text, answers, context)
    return _UNREAD if found.action in (INVALID, BET_UNKNOWN) else found


def parse_v3(text: str, answers: Sequence[Answer] = (), context: str = "") -> Parsed:
    """The third parser."""
    line = next((part.strip() for part in text.split("\n") if part.strip()), "").lower()
    behind = len(text) - len(text.lstrip()) + len(line)
    if line == "2" or any(word in line for word in STOP_WORDS):
        return Parsed("stop", end=behind)
    choice = next((match[1] for pattern in _CHOICES if (match := pattern.match(line))), None)
    if choice is None:
        return Parsed(INVALID)
    if choice == "2":
        return Parsed("stop", end=behind)
    if (offered := _offered(answers, context)) is not None:
        return Parsed("bet", offered, end=behind)
    amount = _amount(text)
    return Parsed(BET_UNKNOWN if amount is None else "bet", amount, end=behind)


def _offered(answers: Sequence[Answer], context: str) -> float | None:
    """The amount of a fixed menu; None of a variable one."""
    if answers:
        return fixed_bet(answers)
    return None if context.strip().lower().startswith("risky") else FIXED_BET


def _amount(text: str) -> int | None:
    """The first amount that each pattern finds in what comes before a new round, if it may be bet."""
    lines = [part.strip().lower() for part in text.splitlines() if part.strip()]
    new = next((n for n, line in enumerate(lines) if line.startswith(_NEW_ROUND)), len(lines))
    said = "\n".join(lines[: min(new, _DECISION_LINES)] or lines[:_DECISION_LINES])
    for match in (pattern.search(said) for pattern in _AMOUNTS):
        amount = dollars(match[1]) if match else None
        if amount is not None and LEAST_BET <= amount <= MOST_BET:
            return amount
    return None
