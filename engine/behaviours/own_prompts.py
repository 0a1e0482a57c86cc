"""Prompts of one's own: records with prompt, correct_answer and incorrect_answer, and whatever else they say.

The split is by the field `group` where a record has one, else by the prompt's text. All other fields are kept.
"""

import re
from collections.abc import Mapping
from typing import Any

from causeway.engine.behaviours.prompt import BehaviourPrompt, Candidate, one_wrong
from causeway.engine.behaviours.required_fields import texts

NAME = "own"
REQUIRED = ("prompt", "correct_answer", "incorrect_answer")
_FILE_NAME = re.compile(r"[\w-]*")
PLACED = ("behaviour", "split", "id", "group")


def from_record(record: Mapping[str, Any]) -> Candidate:
    """A candidate from one record.

    Raises:
        ValueError: a field is missing or not a text.
    """
    read = prompt_of(record)
    wrong, group = one_wrong(read.incorrect), read.group or read.prompt
    return Candidate(read.prompt, read.correct, wrong, group, fields=read.fields)


def prompt_of(record: Mapping[str, Any]) -> BehaviourPrompt:
    """A prompt as it stands in a behaviour's file.

    Raises:
        ValueError: a field is missing or not a text, both answers are the same, or a name that cannot name a file.
    """
    prompt, correct, incorrect = texts(record, REQUIRED)
    if correct == incorrect:
        raise ValueError(f"correct_answer and incorrect_answer: both {correct!r}; needs two that differ")
    placed = {name: str(record.get(name, "")) for name in PLACED}
    for name in ("behaviour", "split"):
        if not _FILE_NAME.fullmatch(placed[name]):
            raise ValueError(f"field {name}: got {placed[name]!r}; needs letters, digits, - and _, for it names files")
    fields = {name: value for name, value in record.items() if name not in (*REQUIRED, *PLACED)}
    return BehaviourPrompt(prompt, correct, incorrect, **placed, fields=fields)


def record_of(prompt: BehaviourPrompt) -> dict[str, Any]:
    """The line of a behaviour's file: the document's three fields, the behaviour's own, then where it belongs."""
    placed = {name: getattr(prompt, name) for name in PLACED}
    answers = dict(zip(REQUIRED, (prompt.prompt, prompt.correct, prompt.incorrect), strict=True))
    return {**answers, **prompt.fields, **placed}
