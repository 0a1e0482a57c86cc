"""Which tokens of a prompt are looked at: the last ones, all, or places by name."""

import dataclasses
import re
from collections.abc import Sequence

from causeway.engine.intervention.scope import positions_of
from causeway.engine.places import Places
from causeway.engine.reading.passes import ReadRow


@dataclasses.dataclass(frozen=True)
class Positions:
    """Tokens of each prompt.

    Attributes:
        last: how many from the end, None for all.
        first: the first position that counts. Whatever token stands at 0, its stream is many times larger than all
            others and switches on features that say nothing about the prompt.
        places: in their stead positions of a scope, by number or name: `2:5,-1,user.last` (`engine/places.py`).
    """

    last: int | None = None
    first: int = 1
    places: str = ""

    def __post_init__(self):
        if self.last is not None and self.last < 1:
            raise ValueError(f"positions: got the last {self.last} tokens; needs at least 1")

    @classmethod
    def read(cls, text: str, first: int = 1) -> "Positions":
        """Those of a text: last_N, all, or places.

        Raises:
            ValueError: nothing is written, or no last token.
        """
        if re.fullmatch(r"last_\d+", text, re.ASCII):
            return cls(int(text.removeprefix("last_")), first)
        if not text:
            raise ValueError("positions: got nothing; needs last_N, such as last_5, all, or places: -1,user.last")
        return cls(None, first, "" if text == "all" else text)

    def row(self, tokens: Sequence[int], prompt: Places | None = None) -> ReadRow:
        """A prompt and its chosen tokens.

        Args:
            tokens: of the prompt.
            prompt: finds places by name, where there are some.

        Raises:
            ValueError: no token of the prompt is chosen, or it has no such place.
        """
        length = len(tokens)
        if self.places:
            return ReadRow(tokens, positions_of(self.places, length, "positions", prompt.find if prompt else None))
        chosen = range(max(self.first, 0 if self.last is None else length - self.last), length)
        if not chosen:
            raise ValueError(
                f"{length} tokens, none of which counts from position {self.first} on; "
                "give it more text, or include position 0"
            )
        return ReadRow(tokens, chosen)

    def slots(self, count: int, width: int) -> int:
        """Places of a row in its pass: they follow from the row alone, so that its bits do not hang on others."""
        if self.places:
            return min(1 << (count - 1).bit_length(), width)
        return width if self.last is None else min(self.last, width)

    def __str__(self) -> str:
        return self.places or ("all" if self.last is None else f"last_{self.last}")
