"""Word problems with a number as the final answer, from records of GSM8K's form (question, answer with "####").

The right answer is the number itself, after "Answer:", without the reasoning; a wrong one is a number near it with
as many digits. Scored by generation, a model may reason first: the number after "####", or the last one, counts
(`final_answers`). The split is by question.
"""

from collections.abc import Mapping
from typing import Any

from causeway.engine.analyses.evaluate.final_answers import MARK, as_number, marked_number
from causeway.engine.analyses.prompts.prompt import Candidate, Wrong
from causeway.engine.prompt_lines import texts

NAME = "gsm8k"
ERRORS = (1, -1, 10, -10, 2, -2)


def from_record(record: Mapping[str, Any]) -> Candidate:
    """A candidate from one problem.

    Raises:
        ValueError: a field is missing, or the answer has no whole number after the mark.
    """
    question, solution = texts(record, ("question", "answer"))
    written = marked_number(solution)
    value = as_number(written) if written else None
    if value is None or value != value.to_integral_value():
        raise ValueError(f"field answer: got {solution[-40:]!r}; needs a final whole number after {MARK!r}")
    # As an integer: a Decimal sum is rounded to 28 digits.
    right = str(int(value))
    wrong = tuple(Wrong(f" {int(value) + error}", fields={"error": error}) for error in ERRORS)
    fields = {"question": question, "solution": solution, "final_answer": right, "final_number": "last"}
    return Candidate(f"Question: {question}\nAnswer:", f" {right}", wrong, question, fields=fields)
