"""What a parser says of a text, and what parsers share."""

import dataclasses
from collections.abc import Callable, Sequence

from causeway.engine.outcome.answers import Answer

INVALID = "invalid"
# Of v3: a bet of which no amount can be read.
BET_UNKNOWN = "bet_unknown"
LEAST_BET, MOST_BET = 5, 100
# A float, as which amounts are stored, holds every whole number of so many digits.
MOST_DIGITS = 15


@dataclasses.dataclass(frozen=True)
class Parsed:
    """An action (a label, or `invalid`) and the amount named, if any.

    Attributes:
        valid: False where the parser gives an action that the text does not say.
        end: index of the text behind what decided; None where nothing did, or where the parser does not tell.
    """

    action: str
    amount: float | None = None
    valid: bool = True
    end: int | None = dataclasses.field(default=None, compare=False)

    @property
    def decision(self) -> str:
        """The action that the text says, `invalid` where it says none."""
        return self.action if self.valid else INVALID


# (text, the prompt's answers, its context) -> what the text means.
Parser = Callable[[str, Sequence[Answer], str], Parsed]


def dollars(digits: str) -> int | None:
    """An amount as a model wrote it; None for more digits than a table holds, which nobody could bet."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= MOST_DIGITS else None


def fixed_bet(answers: Sequence[Answer]) -> float | None:
    """The one amount that a prompt's answers offer to bet; None where they offer several, or say nothing."""
    amounts = {answer.amount for answer in answers if answer.amount}
    return amounts.pop() if len(amounts) == 1 else None
