"""Prompts of one's own: records with prompt, correct_answer and incorrect_answer, and whatever else they say.

The split is by the field `group` where a record has one, else by the prompt's text. Items dealt to splits are numbered
anew; a record's own `id` is kept as `source_id`. All other fields are kept.
"""

import re
from collections.abc import Mapping
from typing import Any

from causeway.engine.analyses.prompts.prompt import BehaviourPrompt, Candidate, one_wrong
from causeway.engine.analyses.prompts.required_fields import texts

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
    fields = {**({"source_id": read.id} if read.id else {}), **read.fields}
    return Candidate(read.prompt, read.correct, one_wrong(read.incorrect), read.group, fields=fields)


def prompt_of(record: Mapping[str, Any]) -> BehaviourPrompt:
    """A prompt as it stands in a behaviour's file; one that names no group is a group by itself.

    Raises:
        ValueError: a field is missing or not a text, both answers are the same, or a name that cannot name a file.
    """
    if "prompt" not in record and "text" in record:
        # Other commands call it so; one file serves both.
        record = {"prompt" if name == "text" else name: value for name, value in record.items()}
    prompt, correct, incorrect = texts(record, REQUIRED)
    if correct == incorrect:
        raise ValueError(f"correct_answer and incorrect_answer: both {correct!r}; needs two that differ")
    placed = placement(record)
    placed["group"] = placed["group"] or prompt
    return BehaviourPrompt(prompt, correct, incorrect, **placed, fields=_further(record))


def placement(record: Mapping[str, Any]) -> dict[str, str]:
    """Where a record says that it belongs: behaviour, split, id and group, empty where it does not say (or null).

    Raises:
        ValueError: one of them is neither a text nor a number, or names no file.
    """
    placed = {name: "" if record.get(name) is None else record[name] for name in PLACED}
    for name, value in placed.items():
        if isinstance(value, list | dict):
            raise ValueError(f"field {name}: got {str(value)[:40]!r}; needs a text or a number")
        placed[name] = str(value)
    for name in ("behaviour", "split"):
        check_file_name(f"field {name}", placed[name])
    return placed


def check_file_name(where: str, name: str) -> None:
    """Refuse a name of a behaviour or split that could name a file elsewhere, or none.

    Raises:
        ValueError: other characters than letters, digits, - and _.
    """
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{where}: got {name!r}; needs letters, digits, - and _, for it names files")


def record_of(prompt: BehaviourPrompt) -> dict[str, Any]:
    """The line of a behaviour's file: the document's three fields, the behaviour's own, then where it belongs."""
    placed = {name: getattr(prompt, name) for name in PLACED}
    answers = dict(zip(REQUIRED, (prompt.prompt, prompt.correct, prompt.incorrect), strict=True))
    return {**answers, **_further(prompt.fields), **placed}


def _further(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields but those that every line has."""
    return {name: value for name, value in fields.items() if name not in (*REQUIRED, *PLACED)}
