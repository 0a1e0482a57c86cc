"""Lexicons by name or from a file: a word or phrase a line (.txt), or JSON lines of strings or objects with `text`."""

import json
from collections.abc import Sequence
from pathlib import Path

from causeway.engine.sweep import durable
from causeway.ports.files.jsonl import SUFFIXES, read_texts
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


def write_lexicon(path: Path, texts: Sequence[str]) -> None:
    """Write the texts of a lexicon, one a line, so that index i of a decomposition is line i + 1."""
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    durable.write_bytes(path, "".join(lines).encode())
