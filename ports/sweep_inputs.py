"""What a patching sweep is about, from files: prompts with their groups and answers, and features with their values.

Prompts: JSON lines with `text` (or `tokens`), `group`, and if wanted `id` (where it is not a number, the record's place
in the file takes its part) and `answers`. Answers: a JSON list of {"text", "label", "amount"}, common to all prompts or
a prompt's own. Features: the Parquet table of `screen`, or JSON lines with `layer`, `feature` and one `value_<group>`
for each group (`engine.patching.features` chooses among them).
"""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine.model.handle import Model
from causeway.engine.outcome.answers import Answer, tokenise_answers
from causeway.engine.patching.design import SweepPrompt
from causeway.engine.sweep.checksums import read_bytes
from causeway.ports.jsonl import read_records


def read_answers(source: str) -> tuple[Answer, ...]:
    """Answers from a JSON file, or from JSON text that begins with "[".

    Raises:
        ValueError: not a JSON list of objects with `text` and `label`.
    """
    where = "answers" if source.lstrip().startswith("[") else source
    try:
        values = json.loads(source if where == "answers" else read_bytes(Path(source)).decode("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON ({error}); give a list of {{text, label, amount}}") from None
    return make_answers(values, where)


def make_answers(values: Any, where: str) -> tuple[Answer, ...]:
    """Answers from parsed JSON; `where` names the source in errors."""
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where}: got {type(values).__name__}; needs a list of {{text, label, amount}}")
    for value in values:
        if not isinstance(value, dict) or not {"text", "label"} <= value.keys() <= {"text", "label", "amount"}:
            raise ValueError(f"{where}: got {json.dumps(value)[:60]}; each answer has text, label and perhaps amount")
        if not isinstance(value.get("amount"), int | float | None):
            raise ValueError(f"{where}: got amount {json.dumps(value['amount'])[:60]}; needs a number, or none at all")
    return tuple(Answer(str(v["text"]), str(v["label"]), v.get("amount")) for v in values)


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
    text, tokens = record.get("text") or "", record.get("tokens")
    if not text and not tokens:
        raise ValueError(f"{where}: has neither text nor tokens; a prompt needs one")
    if not isinstance(text, str) or not _are_ids(tokens or []):
        raise ValueError(f"{where}: needs text as a string, or tokens as a list of ids")
    identity = number if isinstance(record.get("id"), str | None) else record["id"]
    if type(identity) is not int or not 0 <= identity < 2**31:
        raise ValueError(f"{where}: got id {identity!r}; needs a whole number from 0 to 2147483647, or text")
    try:
        ids, continued = _tokenise(text, tokens, model, answers)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return SweepPrompt(
        id=identity, group=str(record["group"]), text=text, tokens=tuple(ids),
        answers=answers, answer_tokens=tuple(tuple(c) for c in continued),
    )  # fmt: skip


def _are_ids(tokens: Any) -> bool:
    return isinstance(tokens, list) and all(type(token) is int for token in tokens)


def _tokenise(
    text: str, tokens: Sequence[int] | None, model: Model, answers: tuple[Answer, ...]
) -> tuple[list[int], list[list[int]]]:
    """Ids of the prompt and of each answer after it; a prompt given as ids takes its answers' ids by themselves."""
    if tokens is None:
        return tokenise_answers(model.tokens, text, answers)
    if not answers:
        return model.tokens(tokens), []
    if model.tokenizer is None:
        raise ValueError(f"answers: {model.name} has no tokenizer; give prompts as text")
    return model.tokens(tokens), [model.tokenizer.encode(answer.text) for answer in answers]


def read_feature_table(path: str) -> pa.Table:
    """The screening table, or listed features with explicit values.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither Parquet nor JSON lines, or without layer and feature.
    """
    if path.endswith(".parquet"):
        try:
            table = pq.read_table(pa.BufferReader(read_bytes(Path(path))))
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such file; give the table of `screen`, or JSON lines") from None
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: not a Parquet file ({error})") from None
    else:
        records = read_records(path, required=("layer", "feature"))
        # A table takes its columns from the first row alone.
        columns = {name: [record.get(name) for record in records] for name in dict.fromkeys(chain(*records))}
        try:
            table = pa.table(columns)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"{path}: a field is not of one type in all records ({error})") from None
    if missing := {"layer", "feature"} - set(table.column_names):
        raise ValueError(f"{path}: lacks the columns {sorted(missing)}; needs layer, feature and values")
    return table
