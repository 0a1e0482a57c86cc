"""Files of behaviour prompts: one JSON object a line.

    {"prompt": "The cat", "correct_answer": " is", "incorrect_answer": " are", "subject": "cat", ...,
     "behaviour": "grammar_agreement", "split": "train", "id": "grammar_agreement_train_0000", "group": "cat"}

The first three fields are required; the last four say where a prompt belongs, and every other field is kept as it is.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from causeway.engine.analyses.prompts.own_prompts import prompt_of, record_of
from causeway.engine.analyses.prompts.prompt import BehaviourPrompt
from causeway.engine.sweep import durable
from causeway.ports.files.jsonl import read_lines


def read_prompts(path: Path | str, skip_bad: bool = False) -> list[BehaviourPrompt]:
    """The prompts of a behaviour's file, in order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (unless `skip_bad`), or none that is not.
    """
    return read_lines(path, prompt_of, skip_bad).items


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
