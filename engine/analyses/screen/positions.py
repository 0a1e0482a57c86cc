"""Where prompts are read: at their last token, over all of them, or at a place that each has for itself."""

from typing import Literal, get_args

from causeway.engine import scalars
from causeway.engine.model.handle import Model
from causeway.engine.places import Places
from causeway.engine.tokenized_prompt import TokenizedPrompt

Position = Literal["last", "mean", "max"]
POSITIONS: tuple[Position, ...] = get_args(Position)


def read_position(text: str) -> tuple[Position, str]:
    """What is made of a prompt's tokens, and the place whose one token stands for the last; "" where the last does.

    Raises:
        ValueError: it is no text.
    """
    known = [position for position in POSITIONS if position == scalars.text(text, "position")]
    return (known[0], "") if known else ("last", text)


def position_of(model: Model, prompt: TokenizedPrompt, place: str) -> int:
    """The one token that a place is in a prompt.

    Raises:
        ValueError: the prompt has no such place, or it is several tokens.
    """
    try:
        return Places.of(model, prompt.record, prompt.tokens).one(place)
    except ValueError as error:
        raise ValueError(f"{error}; or last, mean, max") from None
