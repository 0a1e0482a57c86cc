"""What a patching sweep is about, from files: prompts with their groups and answers, and features with their values.

Prompts: JSON lines with `text` (or `tokens`), `group`, and if wanted `id` (where it is not a number, the record's place
in the file takes its part) and `answers`. Answers: a JSON list of {"text", "label", "amount"}, common to all prompts or
a prompt's own. Features: the Parquet table of `screen`, or JSON lines with `layer`, `feature` and one `value_<group>`
for each group (`engine.patching.features` chooses among them).
"""

from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.design import SweepPrompt
from causeway.engine.analyses.patch_sweep.features import EXPLICIT
from causeway.engine.model.handle import Model
from causeway.engine.outcome.answers import Answer
from causeway.ports.files.foreign import parsing
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.jsonl import read_lines, read_records
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.files.record_fields import content_of, label_of, text_of
from causeway.ports.files.text_files import CONFIG_BYTES, read_text

# Whole numbers that a float holds exactly.
EXACT = 2**53


def read_answers(source: str) -> tuple[Answer, ...]:
    """Answers from a JSON file, or from JSON text that begins with "[".

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a JSON list of objects with `text` and `label`.
    """
    example = 'give a list such as [{"text": " yes", "label": "yes"}, {"text": " no", "label": "no"}], or its file'
    if source.lstrip().startswith("["):
        return make_answers(parse_json(source, "answers", example), "answers")
    text = read_text(source, CONFIG_BYTES, missing=example)
    return make_answers(parse_json(text, source, example), source)


def make_answers(values: Any, where: str) -> tuple[Answer, ...]:
    """Answers from parsed JSON; `where` names the source in errors.

    Raises:
        ValueError: not a list of objects with `text` and `label`, texts, and perhaps `amount`, a finite number.
    """
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where}: got {type(values).__name__}; needs a list of {{text, label, amount}}")
    return tuple(_answer(value, where) for value in values)


def _answer(value: Any, where: str) -> Answer:
    if not isinstance(value, dict) or not {"text", "label"} <= value.keys() <= {"text", "label", "amount"}:
        raise ValueError(f"{where}: got {scalars.shown(value)}; each answer has text, label and perhaps amount")
    if not isinstance(value["text"], str):
        raise ValueError(f"{where}: got text {scalars.shown(value['text'])}; needs a string")
    amount = value.get("amount")
    if amount is not None:
        found = scalars.real(amount, f"{where}: amount")
        # Whole amounts stay as they were written where a float holds them; larger ones are what a float makes of them.
        amount = amount if abs(found) <= EXACT else found
    return Answer(value["text"], label_of(value, "label", where), amount)


def read_prompts(path: str, model: Model, answers: tuple[Answer, ...] = ()) -> list[SweepPrompt]:
    """Prompts of a file, tokenised with their answers.

    Args:
        answers: for prompts without answers of their own.

    Raises:
        ValueError: a record without text or group, an empty or too long prompt, or answers that merge with it.
    """
    records = read_records(path, required=("group",))
    return [
        _prompt(record, number, f"{path} record {number + 1}", model, answers) for number, record in enumerate(records)
    ]


def _prompt(record: dict, number: int, where: str, model: Model, common: tuple[Answer, ...]) -> SweepPrompt:
    answers = make_answers(record["answers"], where) if "answers" in record else common
    identity = number if isinstance(record.get("id"), str | None) else scalars.integer(record["id"], f"{where}: id")
    try:
        given, text = content_of(record), text_of(record)
        ids = model.tokens(given)
        continued = model.answer_tokens(given, [answer.text for answer in answers]) if answers else []
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return SweepPrompt(
        id=identity, group=label_of(record, "group", where), text=text, tokens=tuple(ids),
        answers=answers, answer_tokens=tuple(tuple(c) for c in continued),
    )  # fmt: skip


def read_feature_table(path: str) -> pa.Table:
    """The screening table, or listed features with explicit values.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither Parquet nor JSON lines, or without layer and feature.
    """
    if Path(path).suffix.lower() == ".parquet":
        table = read_parquet(path, missing="give the table of `screen`, or JSON lines")
    else:
        table = _listed_features(path)
    if missing := {"layer", "feature"} - set(table.column_names):
        raise ValueError(f"{path}: lacks the columns {sorted(missing)}; needs layer, feature and values")
    return table


def _listed_features(path: str) -> pa.Table:
    """JSON lines as a table, with numbers in the range of what they are for."""

    def numbers(record: dict[str, Any]) -> dict[str, Any]:
        if absent := [name for name in ("layer", "feature") if name not in record]:
            raise ValueError(f"has no field {', '.join(absent)}; it has {', '.join(sorted(record)) or 'none'}")
        checked = {name: scalars.integer(record[name], name) for name in ("layer", "feature")}
        values = [name for name in record if name.startswith(EXPLICIT) and record[name] is not None]
        return record | checked | {name: scalars.real(record[name], name) for name in values}

    records = read_lines(path, numbers).items
    # A table takes its columns from the first row alone.
    columns = {name: [record.get(name) for record in records] for name in dict.fromkeys(chain(*records))}
    with parsing(path, "list of features", "needs each field of one type in all records"):
        return pa.table(columns)
