"""Texts and records from files: JSON lines, JSON lists and plain text.

    .jsonl, .ndjson, .json   one JSON value a line, or one JSON list; which of the two is seen from the file, since
                             both are published under either name
    .txt                     one text a line, blank lines skipped

A record is a JSON object; a text is a JSON string, or the named field of a record. Errors name file and line (for a
JSON list: file and entry), counted from 1; where bad lines are to be left out, the rest is kept and each bad one told.
Encodings are those of `text_files`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from causeway.ports.files.foreign import check_file
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.text_files import decoded, read_text, utf8_lines

RECORDS = (".jsonl", ".ndjson", ".json")
SUFFIXES = (*RECORDS, ".txt")

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Lines(Generic[T]):
    """What a file's lines were read as, each item's line number, and what was wrong with the lines left out."""

    items: list[T]
    numbers: list[int]
    bad: list[str]


def read_texts(path: Path | str, field: str = "text") -> list[str]:
    """The texts of a file, in order.

    Args:
        path: .jsonl, .json or .txt.
        field: the field of a record that holds its text; not used for plain strings and .txt.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown suffix or encoding, a line that is not JSON, an entry without the text, or no entry at all.
    """
    path = Path(path)
    if path.suffix.lower() != ".txt":
        return _read(path, lambda value: _text(value, field), SUFFIXES, None).items
    texts = [line for line in read_text(path).split("\n") if line.strip()]
    if not texts:
        raise ValueError(f"{path}: holds no text; give at least one")
    return texts


def read_lines(path: Path | str, parse: Callable[[dict[str, Any]], T], skip_bad: bool | None = None) -> Lines[T]:
    """Every record of a file through `parse`.

    Args:
        path: the file. parse: raises ValueError for a record that is of no use.
        skip_bad: leave bad lines out instead of stopping; None where whoever asks has no such choice to offer.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown suffix or encoding, a malformed line (unless `skip_bad`), or none that is not.
    """
    return _read(Path(path), lambda value: parse(_record(value)), RECORDS, skip_bad)


def _read(path: Path, parse: Callable[[Any], T], suffixes: Sequence[str], skip_bad: bool | None) -> Lines[T]:
    check_file(path)
    if path.suffix.lower() == ".txt" and ".txt" not in suffixes:
        raise ValueError(f"{path}: plain text has no fields; give {' or '.join(suffixes)} with an object a line")
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: suffix {path.suffix!r} is not read; needs one of {', '.join(suffixes)}")
    read = Lines[T]([], [], [])
    for number, where, value in _values(path):
        try:
            read.items.append(parse(value()))
            read.numbers.append(number)
        except ValueError as error:
            message = f"{where}: {' '.join(str(error).split()).removeprefix(f'{where}: ')}"
            if not skip_bad:
                hint = "" if skip_bad is None else "; --skip_bad keeps the other lines"
                raise ValueError(message + hint) from None
            read.bad.append(message)
    if not read.items:
        left_out = f" ({len(read.bad)} malformed ones)" if read.bad else ""
        raise ValueError(f"{path}: holds no usable line{left_out}; give at least one")
    return read


def _values(path: Path) -> Iterator[tuple[int, str, Callable[[], Any]]]:
    """Number, place and value of each entry; a value is parsed when it is asked for, which names what is wrong."""
    lines = utf8_lines(path)
    if next((line for line in lines if line.strip()), b"").lstrip().startswith(b"["):
        content = decoded(b"\n".join(lines), str(path))
        values = parse_json(content, str(path), "each line is one JSON value, or the file one list")
        for number, entry in enumerate(values, start=1):
            yield number, f"{path} entry {number}", functools.partial(_same, entry)
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path} line {number}"
            yield number, where, functools.partial(_parsed, line, where)


def _same(value: Any) -> Any:
    return value


def _parsed(line: bytes, where: str) -> Any:
    return parse_json(decoded(line, where), where)


def _text(value: Any, field: str) -> str:
    text = value.get(field) if isinstance(value, dict) else value
    if not isinstance(text, str):
        got = f"fields {', '.join(sorted(value)) or 'none'}" if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"got {got}; needs a string, or an object whose field {field!r} is one")
    return text


def _record(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"got a JSON {type(value).__name__}; needs an object")
    return value
