"""Prompts whose features are wanted: any JSONL with a `prompt` (or `tokens`, ids run unchanged) a line.

Files of behaviour prompts are such files; their `behaviour`, `split` and `id` say where a prompt belongs. A line
without them belongs to a behaviour of its file's name and to the split `all`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.behaviour_prompts import prompt_files, read_lines

Sets = dict[tuple[str, str], list[dict[str, Any]]]


def read_sets(
    paths: Sequence[str], behaviours: Sequence[str] = (), splits: Sequence[str] = (), skip_bad: bool = False
) -> tuple[Sets, list[str]]:
    """Records by behaviour and split, in the order of the files, and what was wrong with lines left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (unless `skip_bad`), or nothing of the behaviours and splits asked for.
    """
    sets: Sets = {}
    bad = []
    for path in prompt_files(paths, behaviours, splits):
        read = read_lines(path, _record, skip_bad)
        bad += read.bad
        for number, record in zip(read.numbers, read.items, strict=True):
            key = record.get("behaviour") or path.stem, record.get("split") or "all"
            sets.setdefault(key, []).append({"id": f"{path.stem}:{number}", **record})
    chosen = {
        key: records
        for key, records in sets.items()
        if (not behaviours or key[0] in behaviours) and (not splits or key[1] in splits)
    }
    if not chosen:
        there = ", ".join(f"{behaviour} {split}" for behaviour, split in sets)
        raise ValueError(f"behaviours, splits: none of that in the files, which have {there}")
    return chosen, bad


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    text, tokens = record.get("prompt"), record.get("tokens")
    whole = isinstance(tokens, list) and tokens and all(type(token) is int for token in tokens)
    if not whole and not (isinstance(text, str) and text):
        raise ValueError("prompt: missing or not text; needs a field `prompt` (or `tokens`, a list of ids)")
    return dict(record)
