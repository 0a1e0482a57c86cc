"""Prompts of one's own: records with a prompt, a right and a wrong answer, and whatever else they say.

The split is by the field `group` where a record has one, else by the prompt's text. Items dealt to splits are numbered
anew; a record's own `id` is kept as `source_id`. All other fields are kept.
"""

from collections.abc import Mapping
from typing import Any

from causeway.engine.analyses.prompts.prompt import Candidate, one_wrong
from causeway.engine.prompt_lines import PAIR, PLACED, TEXT, parse_record
from causeway.engine.prompt_record import check_pair

NAME = "own"


def from_record(record: Mapping[str, Any]) -> Candidate:
    """A candidate from one record.

    Raises:
        ValueError: a field is missing or not a text, or both answers are the same.
    """
    read = parse_record(record)
    check_pair(read)
    fields = {name: value for name, value in record.items() if name not in (*TEXT, *PAIR.values(), *PLACED, "answers")}
    source = {"source_id": read.id} if read.id else {}
    return Candidate(read.text, read.correct, one_wrong(read.incorrect), read.cluster, fields=source | fields)
