"""Arithmetic of two or three numbers: "(12 + 7) * 3 =" -> " 57".

Sums, differences, products and two-step expressions, with results of 0 and above. The wrong answer is the result of
a usual mistake: off by one or ten, or, in two-step expressions, the steps taken in the wrong order. The split is by
the set of operands. `expression` is the prompt's expression in Python's notation.
"""

from collections.abc import Callable

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, Wrong, shuffled

NAME = "synthetic_arithmetic"
# A function of three operands, not all of which every form uses.
Value = Callable[..., int]

# Each form with its value, the value of the same operands in another order of the steps (a mistake), and the greatest
# operand it draws.
FORMS: tuple[tuple[str, Value, Value | None, int], ...] = (
    ("{a} + {b}", lambda a, b, c: a + b, None, 99),
    ("{a} - {b}", lambda a, b, c: a - b, None, 99),
    ("{a} * {b}", lambda a, b, c: a * b, None, 20),
    ("{a} + {b} - {c}", lambda a, b, c: a + b - c, None, 60),
    ("{a} + {b} * {c}", lambda a, b, c: a + b * c, lambda a, b, c: (a + b) * c, 12),
    ("({a} + {b}) * {c}", lambda a, b, c: (a + b) * c, lambda a, b, c: a + b * c, 12),
    ("({a} - {b}) * {c}", lambda a, b, c: (a - b) * c, lambda a, b, c: a - b * c, 20),
)
ERRORS = (1, -1, 10, -10, 2, -2)
SPARE = 3


def candidates(rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Random operands in every form in turn."""
    found: dict[str, Candidate] = {}
    for number in range(SPARE * max(wanted, len(FORMS))):
        candidate = _candidate(rng, *FORMS[number % len(FORMS)])
        if candidate:
            found.setdefault(candidate.prompt, candidate)
    return list(found.values())


def _candidate(
    rng: np.random.Generator, form: str, value: Value, mistaken: Value | None, highest: int
) -> Candidate | None:
    """None where the result lies below 0."""
    operands = dict(zip("abc", (int(n) for n in rng.integers(2, highest + 1, size=3)), strict=True))
    used = [value for name, value in operands.items() if f"{{{name}}}" in form]
    expression = form.format(**operands)
    result = value(**operands)
    if result < 0:
        return None
    mistakes = [result + error for error in shuffled(rng, ERRORS)]
    if mistaken:
        mistakes.insert(0, mistaken(**operands))
    wrong = tuple(Wrong(f" {m}", fields={"error": m - result}) for m in dict.fromkeys(mistakes) if 0 <= m != result)
    fields = {"expression": expression, "answer": result, "form": form, "final_answer": str(result)}
    group = ",".join(map(str, sorted(used)))
    return Candidate(f"{expression} =", f" {result}", wrong, group, form, fields)
