"""Two-digit addition: "34 + 57 =" -> " 91", not " 81".

A wrong answer is what a usual mistake gives: off by 10 (a carry lost or made up), by 1, or by 9 (digits swapped). All
six are tried in random order, and one with as many digits as the sum is preferred. The split is by operand pair, both
orders of a pair together.

The published operands come from three ranges at random; here every pair of two-digit numbers may be drawn, which is
what a split of 5,000 items needs.
"""

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, Wrong, shuffled

NAME = "arithmetic"

TEMPLATES = (
    "{a} + {b} =",
    "What is {a} + {b}? The answer is",
    "Calculate: {a} + {b} =",
    "The sum of {a} and {b} is",
)
ERRORS = (10, -10, 1, -1, 9, -9)
LOWEST, HIGHEST = 10, 99
PUBLISHED_RANGES = ((10, 50), (20, 80), (30, 99))
# Candidates for each item wanted: enough for both splits to reach their size by whole groups.
SPARE = 3


def candidates(rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Random operand pairs in all phrasings."""
    span = HIGHEST - LOWEST + 1
    pairs = rng.permutation(span * span)[: max(SPARE * wanted, span)]
    return [c for pair in pairs for c in _phrased(LOWEST + int(pair) // span, LOWEST + int(pair) % span, rng)]


def as_published(rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Operands from the document's three ranges, each range as often as the others."""
    ranges = np.array(PUBLISHED_RANGES)[np.arange(SPARE * wanted) % len(PUBLISHED_RANGES)]
    operands = rng.integers(ranges[:, :1], ranges[:, 1:] + 1, size=(len(ranges), 2))
    return [c for a, b in operands.tolist() for c in _phrased(a, b, rng)]


def _phrased(a: int, b: int, rng: np.random.Generator) -> list[Candidate]:
    total = a + b
    wrong = tuple(Wrong(f" {total + error}", fields={"error": error}) for error in shuffled(rng, ERRORS))
    return [
        Candidate(
            template.format(a=a, b=b), f" {total}", wrong, group=f"{min(a, b)}+{max(a, b)}", balance=template,
            fields={"a": a, "b": b, "answer": total, "template": template, "final_answer": str(total)},
        )
        for template in TEMPLATES
    ]  # fmt: skip
