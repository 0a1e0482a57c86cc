"""Answers and features of a patching sweep, from files.

Answers: a JSON list of {"text", "label", "amount"}, common to all prompts that have none of their own. Features: the
Parquet table of `screen`, or JSON lines with `layer`, `feature` and one `value_<group>` for each group
(`analyses.patch_sweep.features` chooses among them).
"""

from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.features import EXPLICIT
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_lines import parse_answers
from causeway.ports.files.foreign import parsing
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.files.text_files import CONFIG_BYTES, read_text


def read_answers(source: str) -> tuple[Answer, ...]:
    """Answers from a JSON file, or from JSON text that begins with "[".

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a JSON list of objects with `text` and `label`.
    """
    example = 'give a list such as [{"text": " yes", "label": "yes"}, {"text": " no", "label": "no"}], or its file'
    if source.lstrip().startswith("["):
        return parse_answers(parse_json(source, "answers", example))
    text = read_text(source, CONFIG_BYTES, missing=example)
    try:
        return parse_answers(parse_json(text, source, example))
    except ValueError as error:
        raise ValueError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from None


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
