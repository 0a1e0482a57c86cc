"""The one grid of widths that prompts are padded to, and how rows are cut into buckets.

A width fixes compiled programs and the last bits of what they give, so everything that runs a prompt pads it to the
same one, a function of its own length alone: 8, 16, 24, 32, 48, 64, 96, 128, ... Two widths to a doubling waste a
sixth of the tokens on average and cost half as many programs as four would. What grows with the square of a width, the
rows of an attribution graph, stops at the last position it needs anyway.
"""

import numpy as np
from jaxtyping import Int

# Widths are multiples of it.
STEP = 8


def bucket_width(length: int, most: int | None = None) -> int:
    """The padded width of `length` tokens: the next 2^k or 3 * 2^k that is a multiple of 8.

    Args:
        length: tokens of the prompt.
        most: tokens of the model's context, which is the width where the next one would be wider.
    """
    width = max(_next(length, STEP), STEP)
    return width if most is None else min(width, max(most, length))


def whole_width(length: int) -> int:
    """The widest bucket that `length` tokens fill, 0 where they fill none."""
    power = 1 << max(length.bit_length() - 1, 0)
    if power < STEP or length < STEP:
        return 0
    between = 3 * power // 2
    return between if between <= length and between % STEP == 0 else power


def row_width(rows: int, most: int) -> int:
    """The bucket of a request of so many rows: the next power of two, `most` at most."""
    return min(1 << (rows - 1).bit_length(), most)


def node_width(count: int) -> int:
    """The padded number of an answer tree's nodes: 1, 2, 4, 8, 12, 16, 24, 32, ..."""
    return _next(count, STEP // 2)


def _next(count: int, step: int) -> int:
    """The next 2^k, or 3 * 2^k where that is a multiple of `step`."""
    power = 1 << (count - 1).bit_length()
    between = 3 * power // 4
    return between if count <= between and between % step == 0 else power


def cut(ids: Int[np.ndarray, " n"], rows: int) -> list[Int[np.ndarray, " r"]]:
    """Row numbers in buckets of `rows`, in their order; the last may be short."""
    return [ids[start : start + rows] for start in range(0, len(ids), rows)]
