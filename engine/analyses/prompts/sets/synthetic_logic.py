"""Propositional logic: "P is true. Q is false. The statement (P and not Q) is" -> " true", not " false".

Two to four letters with given truth values, joined by and/or with brackets, each perhaps negated. The counterfactual
prompt turns one given value round, and with it the answer. The split is by the statement's form and the values of its
letters, so that test has no problem of training under other names. `expression` is in Python's notation.
"""

from collections.abc import Sequence

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong

NAME = "synthetic_logic"

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
SLOTS = "wxyz"
MOST = len(SLOTS)
SPARE = 3
ANSWERS = (" false", " true")


def candidates(rng: np.random.Generator, wanted: int) -> list[Candidate]:
    """Random statements, true ones and false ones alike; not all are distinct."""
    return [_candidate(rng) for _ in range(SPARE * max(wanted, 16))]


def _candidate(rng: np.random.Generator) -> Candidate:
    count = int(rng.integers(2, MOST + 1))
    form = _form(rng, list(SLOTS[:count]))
    values = [bool(v) for v in rng.integers(2, size=count)]
    letters = [LETTERS[i] for i in sorted(rng.choice(len(LETTERS), size=count, replace=False))]
    names = dict(zip(SLOTS, letters, strict=False))
    expression = "".join(names.get(character, character) for character in form)
    given = dict(zip(letters, values, strict=True))
    truth = evaluate(expression, given)
    fields = {"expression": expression, "assignment": given, "answer": truth}
    other = _turned(expression, given, truth)
    if other:
        fields["counterfactual_prompt"] = _text(expression, other)
    shape = f"{form} {''.join('FT'[v] for v in values)}"
    return Candidate(
        _text(expression, given), ANSWERS[truth], one_wrong(ANSWERS[not truth]), shape, ANSWERS[truth], fields
    )


def _form(rng: np.random.Generator, slots: Sequence[str]) -> str:
    """A random statement over the slots, each used once and in order."""
    if len(slots) == 1:
        return f"not {slots[0]}" if rng.random() < 0.4 else slots[0]
    cut = int(rng.integers(1, len(slots)))
    left, right = _form(rng, slots[:cut]), _form(rng, slots[cut:])
    return f"({left} {('and', 'or')[int(rng.integers(2))]} {right})"


def _text(expression: str, given: dict[str, bool]) -> str:
    facts = " ".join(f"{letter} is {str(value).lower()}." for letter, value in given.items())
    return f"{facts} The statement {expression} is"


def _turned(expression: str, given: dict[str, bool], truth: bool) -> dict[str, bool] | None:
    """The same letters with one value turned round so that the statement's truth turns; None where no one does."""
    for letter, value in given.items():
        other = {**given, letter: not value}
        if evaluate(expression, other) != truth:
            return other
    return None


def evaluate(expression: str, given: dict[str, bool]) -> bool:
    """The truth of a statement of letters, and, or, not and brackets; nothing else is let through.

    Raises:
        ValueError: another word.
    """
    words = expression.replace("(", " ").replace(")", " ").split()
    unknown = [word for word in words if word not in ("and", "or", "not") and word not in given]
    if unknown:
        raise ValueError(f"expression: got {unknown[0]!r}; needs and, or, not, brackets and {', '.join(given)}")
    return bool(eval(expression, {"__builtins__": {}}, dict(given)))
