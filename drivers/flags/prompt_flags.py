"""Flags of what `attribute` and `intervene` work on, one prompt or a file of them, and where it is written."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import chat_flags, prompt_records
from causeway.drivers.flags.flag_values import named
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    from causeway.engine.analyses.attribute.prompts import CircuitPrompt
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord

FLAGS = take(f"prompt correct incorrect workdir repair {PROCESSES}")
# Exit status of a run that was stopped and can be resumed.
STOPPED = 3
# What a run writes into its workdir under these names; a behaviour has a folder of its own name beside them.
_OWN_NAMES = {
    "units", "graphs", "plan.json", "events.jsonl", "graphs.json", "graphs.parquet", "scores.jsonl",
    "interventions.json", "interventions.parquet", "generations.jsonl",
    chat_flags.RENDERED,
}  # fmt: skip


def check() -> None:
    """Refuse both or neither of a prompt and a file, and one answer without the other.

    Raises:
        ValueError: naming the flags.
    """
    if FLAGS.prompt == "" and not FLAGS.prompts:
        raise ValueError("--prompt: is empty; needs a text")
    if bool(FLAGS.prompt) == bool(FLAGS.prompts):
        raise ValueError("--prompt, --prompts: needs one of them, a text or a behaviour's file")
    if (FLAGS.correct is None) != (FLAGS.incorrect is None):
        raise ValueError("--correct, --incorrect: got one of them; a difference of answers needs both")
    if FLAGS.prompt:
        chat_flags.check(False)


def read() -> list[PromptRecord]:
    """The records of --prompts, or the one of --prompt, before a model is loaded."""
    from causeway.engine.prompt_record import PromptRecord, check_pair, pair

    if FLAGS.prompts:
        return prompt_records.read(check_pair)
    text, placed = str(FLAGS.prompt), ("prompt", "all")
    if FLAGS.correct is None:
        return [PromptRecord(text, behaviour=placed[0], split=placed[1], id="prompt")]
    return [pair(text, FLAGS.correct, str(FLAGS.incorrect), *placed, id="prompt")]


def alone(workdir: Path) -> contextlib.AbstractContextManager:
    """Holds the workdir while what follows from its units is written, so that two runs never write one file at once."""
    from causeway.engine.sweep.checksums import written_alone

    return written_alone(workdir, ())


def rendered(model: Model, records: list[PromptRecord]) -> list[PromptRecord]:
    """What was read as it is run, a conversation through the model's chat template."""
    if FLAGS.prompts:
        return prompt_records.rendered(model, records)
    rendering = chat_flags.rendering(model, records)
    with named("prompt"):
        found = [rendering.of(model, record) for record in records]
    chat_flags.show(found)
    return found


def prompts(model: Model, records: list[PromptRecord], targets: list[str]) -> tuple[CircuitPrompt, ...]:
    """Prompts as they are explained; `targets` are tokens that one prompt without answers is explained by."""
    from causeway.engine.analyses.attribute.prompts import pair_prompt, token_prompt

    if FLAGS.prompts:
        found = prompt_records.usable(records, lambda record: pair_prompt(model, record), "explained")
        if taken := {prompt.behaviour for prompt in found} & _OWN_NAMES:
            raise ValueError(
                f"--prompts: a behaviour is named {min(taken)!r}, as what the run itself writes to --workdir; name the "
                "file or its field `behaviour` otherwise"
            )
        return tuple(found)
    [record] = records
    if FLAGS.correct is not None:
        with named("prompt", "correct", "incorrect"):
            return (pair_prompt(model, record),)
    with named("prompt", *["target"] * bool(targets)):
        return (token_prompt(model, record.content, targets),)
