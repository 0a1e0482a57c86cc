"""Lexicons by name or from a file: a word or phrase a line (.txt), or JSON lines of strings or objects with `text`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from causeway.engine import scalars
from causeway.engine.sweep import durable
from causeway.ports.files.jsonl import RECORDS, SUFFIXES, read_lines, read_texts
from causeway.ports.files.text_files import read_text
from causeway.ports.lexicons.maths import maths_words

MATHS = "maths"


def lexicon_words(source: str | Path) -> list[str]:
    """Words and phrases for `cw.lexicon`.

    Args:
        source: maths, the curated lexicon; or a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: neither a name nor a file of texts, or a line that is none.
    """
    if source == MATHS:
        return maths_words()
    if not isinstance(source, str | Path) or Path(source).suffix.lower() not in SUFFIXES:
        raise ValueError(f"lexicon: got {str(source)[:60]!r}; needs {MATHS}, or a file ({', '.join(SUFFIXES)})")
    return [text.strip() for text in read_texts(source) if text.strip()]


def given_words(source: str) -> list[str] | dict[str, float]:
    """Words between commas, or of a file, as in a lexicon; or with weights, JSON lines of objects with both fields.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is none, or words some of which have a weight.
    """
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES:
        return [word.strip() for word in source.split(",") if word.strip()]
    if path.suffix.lower() in RECORDS and '"weight"' in read_text(path):
        return dict(read_lines(path, _weighted).items)
    return lexicon_words(path)


def _weighted(record: dict[str, Any]) -> tuple[str, float]:
    if not isinstance(text := record.get("text"), str) or "weight" not in record:
        raise ValueError(f"has the fields {', '.join(sorted(record))}; needs text and weight, in every line or in none")
    return text.strip(), scalars.real(record["weight"], "weight")


def write_lexicon(path: Path, texts: Sequence[str]) -> None:
    """Write the texts of a lexicon, one a line, so that index i of a decomposition is line i + 1."""
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    durable.write_bytes(path, "".join(lines).encode())
