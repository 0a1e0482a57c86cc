"""Flags of conversations, what becomes of prompts by them, and how that is shown and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags.flag_values import no_effect
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.rendering import Rendering

FLAGS = take("chat system generation_prompt")
# Where a run that resumes keeps its prompts as the template wrote them.
RENDERED = "rendered_prompts.jsonl"


def check(conversations: bool) -> None:
    """Refuse what concerns conversations alone where there are none, before a model is loaded.

    Raises:
        ValueError: such a flag is given, and neither --chat nor a prompt with messages.
    """
    if not (FLAGS.chat or conversations):
        no_effect("without --chat or prompts with `messages`", "system", "generation_prompt")


def rendering(model: Model, records: Sequence[PromptRecord]) -> Rendering:
    """What the flags make of these prompts.

    Raises:
        ValueError: the model has no chat template for them.
    """
    from causeway.engine.rendering import Rendering

    found = Rendering(FLAGS.chat, FLAGS.system, FLAGS.generation_prompt)
    found.check(model, records)
    return found


def show(records: Sequence[PromptRecord]) -> None:
    """Prints the first conversation as the template wrote it, with its ids."""
    conversations = [record for record in records if record.messages]
    if conversations:
        first, count = conversations[0], f"{len(conversations)} prompt{'s' * (len(conversations) > 1)}"
        print(f"{count} through the model's chat template; the first: {first.text!r}")
        print(f"its {len(first.tokens or ())} tokens: {' '.join(map(str, first.tokens or ()))}")


def keep(path: Path, records: Sequence[PromptRecord]) -> None:
    """Writes prompts as they were run where one is a conversation; an earlier file is removed."""
    from causeway.engine.sweep import durable
    from causeway.ports.prompts.prompt_files import write_prompts

    if any(record.messages for record in records):
        write_prompts(path, records)
    else:
        durable.remove(path)
