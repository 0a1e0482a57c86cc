"""Which tokens of a prompt are looked at: the last few, or all.

Position 0 is left out unless asked for: whatever token stands there, its stream is many times larger than all others
and switches on features that say nothing about the prompt.
"""

import dataclasses

import numpy as np
from jaxtyping import Int


@dataclasses.dataclass(frozen=True)
class Positions:
    """last: how many tokens from the end, None for all. first: the first position that counts."""

    last: int | None = None
    first: int = 1

    def __post_init__(self):
        if self.last is not None and self.last < 1:
            raise ValueError(f"positions: got the last {self.last} tokens; needs at least 1")

    def chosen(self, length: int) -> Int[np.ndarray, " S"]:
        """Positions of a prompt of `length` tokens, perhaps none."""
        start = 0 if self.last is None else length - self.last
        return np.arange(max(self.first, start), length)

    def check(self, length: int) -> None:
        """Refuse a prompt of `length` tokens of which none is chosen.

        Raises:
            ValueError: no token of the prompt is selected.
        """
        if not len(self.chosen(length)):
            raise ValueError(
                f"{length} tokens, none of which counts from position {self.first} on; "
                "give it more text, or include position 0"
            )

    def width(self, bucket: int) -> int:
        """How many positions a prompt of a bucket can have."""
        return bucket if self.last is None else min(self.last, bucket)

    def __str__(self) -> str:
        return "all" if self.last is None else f"last_{self.last}"
