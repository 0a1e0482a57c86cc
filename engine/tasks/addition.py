"""Two-digit addition: "34+57=" -> "91.".

Operands run from 10 to 99; digits are single tokens; the sum is written as usual, most significant digit first, and
ends in a full stop so that no answer is the beginning of another. Held out: operand pairs (both orders of a pair
fall in the same split, so commutation does not leak answers).
"""

import numpy as np

from causeway.engine.tasks.example import Example, Split, draw_until

NAME = "addition"
LOWEST, HIGHEST = 10, 99


def example_of(left: int, right: int) -> Example:
    """The item of one operand pair; the wrong answers are a missed carry and one off."""
    total = left + right
    carryless = (left // 10 + right // 10) * 10 + (left + right) % 10
    wrong = tuple(f"{n}." for n in sorted({carryless, total + 1, total - 1} - {total}))
    return Example(prompt=f"{left}+{right}=", answer=f"{total}.", task=NAME, wrong=wrong)


def sample(rng: np.random.Generator, split: Split) -> Example:
    """A random item of the split."""

    def make() -> tuple[str, Example]:
        left, right = (int(n) for n in rng.integers(LOWEST, HIGHEST + 1, size=2))
        return f"{min(left, right)}+{max(left, right)}", example_of(left, right)

    return draw_until(make, split)
