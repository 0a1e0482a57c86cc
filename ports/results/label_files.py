"""Labels of features, as tables that people and other programs write: layer, feature, label, and perhaps source.

    .parquet, .csv, .jsonl   one row a feature; source says who or what gave the label, and is kept as it is

A label is a text, in any script. A row without one (empty, or null) labels nothing.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import encode
from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.files.text_files import read_text

COLUMNS = ("layer", "feature", "label")
SUFFIXES = (".parquet", ".csv", ".jsonl")
_EXAMPLE = "needs a table of layer, feature and label, as Parquet, CSV or JSON lines"


def read_labels(path: Path | str) -> dict[tuple[int, int], str]:
    """Labels by layer and feature.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, a column that is missing, a number that is none, or two labels of a feature.
    """
    found: dict[tuple[int, int], str] = {}
    for number, row in enumerate(_rows(Path(path)), start=1):
        where = f"{path}: row {number}"
        if missing := [name for name in COLUMNS if name not in row]:
            raise ValueError(f"{where} has no {', '.join(missing)}; {_EXAMPLE}")
        if not row["label"]:
            continue
        key = _number(row["layer"], f"{where}: layer"), _number(row["feature"], f"{where}: feature")
        label = scalars.text(row["label"], f"{where}: label")
        if found.setdefault(key, label) != label:
            raise ValueError(f"{where}: feature {key[0]}:{key[1]} has another label above; keep one")
    return found


def write_labels(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of layer, feature, label and perhaps source.

    Raises:
        ValueError: another kind of file, or a row without one of them.
    """
    path, listed = Path(path), [dict(row) for row in rows]
    if missing := [name for row in listed for name in COLUMNS if name not in row]:
        raise ValueError(f"labels: a row has no {missing[0]}; {_EXAMPLE}")
    names = [*COLUMNS, *(["source"] if any("source" in row for row in listed) else [])]
    kinds = {"layer": pa.int32(), "feature": pa.int32()}
    columns = {name: pa.array([row.get(name) for row in listed], kinds.get(name, pa.string())) for name in names}
    kind = _suffix(path)
    if kind == ".parquet":
        durable.write_bytes(path, encode(pa.table(columns)))
        return
    text = io.StringIO(newline="")
    if kind == ".csv":
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    else:
        text.writelines(json.dumps({n: row.get(n) for n in names}, ensure_ascii=False) + "\n" for row in listed)
    durable.write_bytes(path, text.getvalue().encode())


def _rows(path: Path) -> list[dict[str, Any]]:
    kind = _suffix(path)
    if kind == ".parquet":
        table = read_parquet(path, missing=_EXAMPLE)
        return table.select([name for name in COLUMNS if name in table.column_names]).to_pylist()
    if kind == ".csv":
        return _csv_rows(path)
    return read_lines(path, lambda record: record).items


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    # Else a quote that is not closed takes the rest of the file for one label.
    reader = csv.DictReader(io.StringIO(read_text(path, missing=_EXAMPLE), newline=""), strict=True)
    try:
        rows.extend(reader)
    except csv.Error as error:
        raise ValueError(
            f"{path}: row {len(rows) + 1} is not CSV ({error}; line {reader.line_num}); a text with commas, quotes or "
            "line breaks stands in quotes, and quotes in it are doubled"
        ) from None
    return rows


def _suffix(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a file of labels ends in {', '.join(SUFFIXES)}")
    return path.suffix.lower()


def _number(value: Any, where: str) -> int:
    """A whole number from 0 on; of CSV, a text of one."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,20}\s*", value):
        value = int(value)
    return scalars.integer(value, where, 0)
