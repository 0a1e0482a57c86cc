"""Files of behaviour prompts: one JSON object a line.

    {"prompt": "The cat", "correct_answer": " is", "incorrect_answer": " are", "subject": "cat", ...,
     "behaviour": "grammar_agreement", "split": "train", "id": "grammar_agreement_train_0000", "group": "cat"}

The first three fields are required; the last four say where a prompt belongs, and every other field is kept as it is.
A malformed line is an error that names it; where bad lines are to be skipped, the rest is kept and each bad one told.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from causeway.engine.behaviours.own_prompts import prompt_of, record_of
from causeway.engine.behaviours.prompt import BehaviourPrompt
from causeway.engine.sweep import durable
from causeway.engine.sweep.checksums import read_bytes

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Lines(Generic[T]):
    """What a file's lines were read as, each item's line number, and what was wrong with the lines left out."""

    items: list[T]
    numbers: list[int]
    bad: list[str]


def read_prompts(path: Path | str, skip_bad: bool = False) -> list[BehaviourPrompt]:
    """The prompts of a behaviour's file, in order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (unless `skip_bad`), or none that is not.
    """
    return read_lines(path, prompt_of, skip_bad).items


def read_lines(path: Path | str, parse: Callable[[Mapping[str, Any]], T], skip_bad: bool = False) -> Lines[T]:
    """Every line that is not blank, as JSON and then through `parse`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (unless `skip_bad`), or none that is not.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    read = Lines[T]([], [], [])
    # Bytes, so that a line in another encoding is one bad line; not splitlines, which also cuts inside JSON strings.
    for number, line in enumerate(read_bytes(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            read.items.append(parse(_object(line)))
            read.numbers.append(number)
        except ValueError as error:
            message = f"{path} line {number}: {' '.join(str(error).split())}"
            if not skip_bad:
                raise ValueError(f"{message}; --skip_bad keeps the other lines") from None
            read.bad.append(message)
    if not read.items:
        raise ValueError(f"{path}: holds no usable line ({len(read.bad)} malformed ones); give at least one")
    return read


def prompt_files(paths: Sequence[str], behaviours: Sequence[str] = (), splits: Sequence[str] = ()) -> list[Path]:
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
            raise FileNotFoundError(f"{path}: a folder without {' or '.join(names)}; make prompts there first")
        found += inside
    return list({path.resolve(): path for path in found}.values())


def write_prompts(path: Path, prompts: Sequence[BehaviourPrompt]) -> None:
    """Writes a behaviour's file whole."""
    lines = (json.dumps(record_of(prompt), ensure_ascii=False) + "\n" for prompt in prompts)
    durable.write_bytes(path, "".join(lines).encode())


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
        if rb"\u" in line:
            # Half of a surrogate pair is let through by json; neither a tokenizer nor a file takes it.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"got a JSON {type(value).__name__}; needs an object")
    return value
