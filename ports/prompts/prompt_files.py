"""Files of prompt records: JSON lines, or folders of such files (`engine.prompt_lines` says what a line holds).

A line that names no behaviour belongs to one of its file's name, one that names no split to the split `all`, and one
without an id goes by its file and line number. A file that is named twice is read once.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from causeway.engine.prompt_lines import parse_record, record_line
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep import durable
from causeway.ports.files.jsonl import read_lines


def any_prompt(_: PromptRecord) -> None:
    """What a command checks that takes every prompt."""


def read_prompts(
    paths: Sequence[Path | str],
    check: Callable[[PromptRecord], None] = any_prompt,
    *,
    label_field: str = "group",
    behaviours: Sequence[str] = (),
    splits: Sequence[str] = (),
    skip_bad: bool = False,
) -> tuple[list[PromptRecord], list[str]]:
    """Prompts in the order of the files, and what was wrong with the lines left out.

    Args:
        paths: files, or folders.
        check: raises ValueError for a prompt of no use to the command.
        label_field: where a prompt's label stands.
        behaviours: those taken; empty for all. splits: likewise.
        skip_bad: leave malformed lines out instead of stopping.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (unless `skip_bad`), or nothing of the behaviours and splits asked for.
    """

    def parse(line: dict[str, Any]) -> PromptRecord:
        record = parse_record(line, label_field)
        check(record)
        return record

    found: list[PromptRecord] = []
    bad: list[str] = []
    for path in prompt_files(paths, behaviours, splits):
        read = read_lines(path, parse, skip_bad)
        bad += read.bad
        found += [_placed(path, *item) for item in zip(read.numbers, read.items, strict=True)]
    chosen = [
        record
        for record in found
        if (not behaviours or record.behaviour in behaviours) and (not splits or record.split in splits)
    ]
    if not chosen:
        there = ", ".join(f"{behaviour} {split}" for behaviour, split in by_set(found))
        raise ValueError(f"--behaviours, --splits: none of that in --prompts, which has {there}")
    return chosen, bad


def by_set(records: Sequence[PromptRecord]) -> dict[tuple[str, str], list[PromptRecord]]:
    """Prompts by behaviour and split."""
    sets: dict[tuple[str, str], list[PromptRecord]] = {}
    for record in records:
        sets.setdefault((record.behaviour, record.split), []).append(record)
    return sets


def prompt_files(paths: Sequence[Path | str], behaviours: Sequence[str] = (), splits: Sequence[str] = ()) -> list[Path]:
    """The files named, and of a folder its {behaviour}_{split}.jsonl of the behaviours and splits asked for; each once.

    Raises:
        FileNotFoundError: a folder without such files.
    """
    found = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        names = [f"{b}_{s}.jsonl" for b in behaviours or ["*"] for s in splits or ["*"]]
        inside = sorted({file for name in names for file in path.glob(name)})
        if not inside:
            raise FileNotFoundError(f"{path}: a folder without {' or '.join(names)}; name files, or make prompts")
        found += inside
    return list({path.resolve(): path for path in found}.values())


def write_prompts(path: Path, records: Sequence[PromptRecord]) -> None:
    """Writes a file of prompts whole."""
    lines = (json.dumps(record_line(record), ensure_ascii=False) + "\n" for record in records)
    durable.write_bytes(path, "".join(lines).encode())


def _placed(path: Path, number: int, record: PromptRecord) -> PromptRecord:
    return dataclasses.replace(
        record, behaviour=record.behaviour or path.stem, split=record.split or "all",
        id=record.id or f"{path.stem}-{number}", where=f"{path} line {number}",
    )  # fmt: skip
