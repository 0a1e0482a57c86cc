"""Flags of what `attribute` and `intervene` work on, one prompt or a file of them, and where it is written."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from causeway.drivers.flags.left_out import tell

PROMPT = flags.DEFINE_string("prompt", None, "The text of one prompt.")
CORRECT = flags.DEFINE_string("correct", None, "The answer whose logit is the target, less that of --incorrect.")
INCORRECT = flags.DEFINE_string("incorrect", None, "The answer it is held against.")
PROMPTS = flags.DEFINE_string(
    "prompts", None, "A behaviour's file (prompt, correct_answer, incorrect_answer a line), or a folder of such files."
)
SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave out lines that are malformed or cannot be used.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written; the same command resumes.")
REPAIR = flags.DEFINE_bool("repair", False, "Check all data and compute damaged units again.")
# Exit status of a run that was stopped and can be resumed.
STOPPED = 3
# What a run writes into its workdir under these names; a behaviour has a folder of its own name beside them.
_OWN_NAMES = {
    "units", "graphs", "plan.json", "events.jsonl", "graphs.json", "graphs.parquet", "scores.jsonl",
    "interventions.json", "interventions.parquet", "generations.jsonl",
}  # fmt: skip


def check() -> None:
    """Refuse both or neither of a prompt and a file, and one answer without the other.

    Raises:
        ValueError: naming the flags.
    """
    if bool(PROMPT.value) == bool(PROMPTS.value):
        raise ValueError("--prompt, --prompts: needs one of them, a text or a behaviour's file")
    if (CORRECT.value is None) != (INCORRECT.value is None):
        raise ValueError("--correct, --incorrect: got one of them; a difference of answers needs both")


def read() -> tuple[list[tuple[int, Any]], list[str]]:
    """The numbered lines of --prompts and what is wrong with those left out, before a model is loaded."""
    if not PROMPTS.value:
        return [], []
    from causeway.engine.analyses.prompts.own_prompts import prompt_of
    from causeway.ports.files.jsonl import read_lines
    from causeway.ports.prompts.behaviour_prompts import prompt_files

    lines: list[tuple[int, Any]] = []
    bad: list[str] = []
    for path in prompt_files([PROMPTS.value]):
        found = read_lines(path, prompt_of, SKIP_BAD.value)
        named = [dataclasses.replace(item, behaviour=item.behaviour or path.stem) for item in found.items]
        lines += zip(found.numbers, named, strict=True)
        bad += found.bad
    return lines, bad


def alone(workdir: Path) -> contextlib.AbstractContextManager:
    """Holds the workdir while what follows from its units is written, so that two runs never write one file at once."""
    from causeway.engine.sweep.durable import LOCK_FILE, exclusive

    return exclusive(workdir / LOCK_FILE)


def prompts(model: Any, lines: list[tuple[int, Any]], bad: list[str], targets: list[str]) -> tuple[Any, ...]:
    """What was read, with the model's tokens; `targets` are tokens that one prompt without answers is explained by."""
    from causeway.engine.analyses.attribute.prompts import answers_prompt, named_lines, token_prompt

    if PROMPTS.value:
        found, more = named_lines(model, lines, Path(PROMPTS.value), SKIP_BAD.value)
        tell(bad + more)
        if taken := {prompt.behaviour for prompt in found} & _OWN_NAMES:
            raise ValueError(
                f"--prompts: a behaviour is named {min(taken)!r}, as what the run itself writes to --workdir; name the "
                "file or its field `behaviour` otherwise"
            )
        return found
    if CORRECT.value is not None:
        return (answers_prompt(model, str(PROMPT.value), CORRECT.value, str(INCORRECT.value)),)
    return (token_prompt(model, str(PROMPT.value), targets),)
