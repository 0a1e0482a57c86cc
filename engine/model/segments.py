"""The static widths of generation: rows of a bucket, and the lengths of the segments that tokens are drawn in."""

import dataclasses

from causeway.engine import scalars

# Tokens of the first segment.
FIRST = 16


@dataclasses.dataclass(frozen=True)
class Layout:
    """The static widths of a plan: they fix the compiled programs, and with them the bits.

    rows: rows of a bucket, per device. segments: tokens of each segment; together the most tokens a row may draw.
    """

    rows: int
    segments: tuple[int, ...]

    def __post_init__(self):
        scalars.integer(self.rows, "Layout.rows", 1)
        if not self.segments or min(self.segments) < 1:
            raise ValueError(f"Layout.segments: got {self.segments}; needs positive lengths")

    @property
    def max_new_tokens(self) -> int:
        """N."""
        return sum(self.segments)


def segment_lengths(max_new_tokens: int) -> tuple[int, ...]:
    """Growing lengths (16, 16, 32, 64, ...) that sum to `max_new_tokens`.

    Short ones first: most rows that stop, stop early, and each boundary lets them go.
    """
    max_new_tokens = scalars.integer(max_new_tokens, "max_new_tokens", 1)
    lengths, total = [], 0
    while total < max_new_tokens:
        lengths.append(min(max(FIRST, total), max_new_tokens - total))
        total += lengths[-1]
    return tuple(lengths)
