"""Texts and records from files: JSON lines, JSON lists and plain text.

    .jsonl, .json   one JSON value a line, or one JSON list; which of the two is seen from the file, since both are
                    published under either name
    .txt            one text a line, blank lines skipped

A record is a JSON object; a text is a JSON string, or the named field of a record. Errors name file and line (for a
JSON list: file and entry), counted from 1.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from causeway.engine.sweep.checksums import read_bytes

SUFFIXES = (".jsonl", ".json", ".txt")


def read_texts(path: Path | str, field: str = "text") -> list[str]:
    """The texts of a file, in order.

    Args:
        path: .jsonl, .json or .txt.
        field: the field of a record that holds its text; not used for plain strings and .txt.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown suffix, a line that is not JSON, an entry without the text, or no entry at all.
    """
    path = _check(path)
    if path.suffix == ".txt":
        texts = [line for line in read_bytes(path).decode("utf-8").split("\n") if line.strip()]
    else:
        texts = [_text(value, field, where) for where, value in _values(path)]
    if not texts:
        raise ValueError(f"{path}: holds no text; give at least one")
    return texts


def read_records(path: Path | str, required: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The records of a .jsonl or .json file, in order.

    Args:
        path: the file.
        required: fields that every record must have.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown suffix, a line that is not a JSON object, a missing field, or no record at all.
    """
    path = _check(path)
    if path.suffix == ".txt":
        raise ValueError(f"{path}: plain text has no fields; give .jsonl with {', '.join(required) or 'objects'}")
    records = [_record(value, required, where) for where, value in _values(path)]
    if not records:
        raise ValueError(f"{path}: holds no record; give at least one")
    return records


def _check(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: suffix {path.suffix!r} is not read; needs one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """(where, value) for each entry."""
    content = read_bytes(path).decode("utf-8")
    if content.lstrip().startswith("["):
        for number, value in enumerate(_parse(content, str(path)), start=1):
            yield f"{path} entry {number}", value
        return
    # Not splitlines: JSON strings may hold the other line separators of Unicode as they are.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield f"{path} line {number}", _parse(line, f"{path} line {number}")


def _parse(content: str, where: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error}); each line is one JSON value, or the file one list") from None


def _text(value: Any, field: str, where: str) -> str:
    text = value.get(field) if isinstance(value, dict) else value
    if not isinstance(text, str):
        got = f"fields {', '.join(sorted(value)) or 'none'}" if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{where}: got {got}; needs a string, or an object whose field {field!r} is one")
    return text


def _record(value: Any, required: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: got a JSON {type(value).__name__}; needs an object")
    missing = [name for name in required if name not in value]
    if missing:
        raise ValueError(f"{where}: has no field {', '.join(missing)}; it has {', '.join(sorted(value)) or 'none'}")
    return value
