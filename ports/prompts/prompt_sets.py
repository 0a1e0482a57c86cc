"""Prompts of several files, by behaviour and split.

A line that names no behaviour belongs to one of its file's name, one that names no split to the split `all`, and one
without an id goes by its file and line number. A file that is named twice is read once.

Baselines need both answers of a prompt (`own_prompts.prompt_of`); features need a `prompt` alone, or `tokens`, ids run
unchanged.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from causeway.engine.analyses.prompts.own_prompts import placement
from causeway.engine.analyses.prompts.prompt import BehaviourPrompt
from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.record_fields import content_of
from causeway.ports.prompts.behaviour_prompts import prompt_files


@dataclasses.dataclass(frozen=True)
class FeaturePrompt:
    """A prompt without answers: its text, or token ids; and where it belongs."""

    content: str | list[int]
    behaviour: str = ""
    split: str = ""
    id: str = ""


Prompt = TypeVar("Prompt", BehaviourPrompt, FeaturePrompt)


def read_sets(
    paths: Sequence[str],
    parse: Callable[[Mapping[str, Any]], Prompt],
    behaviours: Sequence[str] = (),
    splits: Sequence[str] = (),
    skip_bad: bool = False,
) -> tuple[dict[tuple[str, str], list[Prompt]], list[str]]:
    """Prompts by behaviour and split, in the order of the files, and what was wrong with lines left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (unless `skip_bad`), or nothing of the behaviours and splits asked for.
    """
    sets: dict[tuple[str, str], list[Prompt]] = {}
    bad = []
    for path in prompt_files(paths, behaviours, splits):
        read = read_lines(path, parse, skip_bad)
        bad += read.bad
        for number, prompt in zip(read.numbers, read.items, strict=True):
            behaviour, split = prompt.behaviour or path.stem, prompt.split or "all"
            name = prompt.id or f"{path.stem}:{number}"
            placed = dataclasses.replace(prompt, behaviour=behaviour, split=split, id=name)
            sets.setdefault((behaviour, split), []).append(placed)
    chosen = {
        key: prompts
        for key, prompts in sets.items()
        if (not behaviours or key[0] in behaviours) and (not splits or key[1] in splits)
    }
    if not chosen:
        there = ", ".join(f"{behaviour} {split}" for behaviour, split in sets)
        raise ValueError(f"--behaviours, --split: none of that in --prompts, which has {there}")
    return chosen, bad


def feature_prompt(record: Mapping[str, Any]) -> FeaturePrompt:
    """A prompt without answers from one record.

    Raises:
        ValueError: neither a text nor token ids, or a name that cannot name a file.
    """
    return FeaturePrompt(content_of(record, ("prompt", "text")), **_placed(record))


def _placed(record: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in placement(record).items() if name != "group"}
