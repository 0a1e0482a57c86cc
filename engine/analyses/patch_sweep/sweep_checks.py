"""What a patching sweep refuses before anything is placed or compiled: what would stop it at some unit otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from causeway.engine.analyses.patch_sweep.cells import OTHER
from causeway.engine.dictionary.placement import StreamedDictionaries
from causeway.engine.outcome.parsed import INVALID
from causeway.engine.tokenized_prompt import TokenizedPrompt

if TYPE_CHECKING:
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep


def check_streamed(sweep: PatchSweep) -> None:
    """Refuse what reads whole dictionaries of those that are streamed."""
    whole = {
        f"a {sweep.dictionary.config.kind} dictionary": sweep.dictionary.config.ranked,
        "form replace": sweep.settings.form == "replace", "record_features": bool(sweep.settings.recording.reader),
        "a hold of features": bool(sweep.held.features),
    }  # fmt: skip
    needed = [what for what, is_needed in whole.items() if is_needed]
    if needed and isinstance(sweep.dictionary, StreamedDictionaries):
        raise ValueError(
            f"dictionary: streamed, but {needed[0]} reads every feature of a layer; load it in memory "
            "(--placement=replicated, load_dictionaries without placement=Streamed)"
        )


def check_answers(sweep: PatchSweep) -> None:
    """Refuse answers that some prompts lack, that differ in their labels, or that have the name of what is none."""
    labels = {tuple(dict.fromkeys(a.label for a in prompt.record.answers)) for prompt in sweep.prompts}
    if () in labels:
        missing = next(prompt.number for prompt in sweep.prompts if not prompt.record.answers)
        raise ValueError(f"answers: prompt {missing} has none; give --answers or a field `answers` of the prompt")
    if len({frozenset(names) for names in labels}) > 1:
        raise ValueError(f"answers: prompts differ in their labels ({sorted(labels)}); give all the same labels")
    for taken in (INVALID, OTHER.removeprefix("p_")):
        if taken in sweep.labels:
            raise ValueError(f"answers: a label is {taken!r}, the name of what no answer matches; choose another")


def check_prompt(sweep: PatchSweep, prompt: TokenizedPrompt) -> None:
    """What would otherwise stop the sweep at this prompt's first unit."""
    start, last = sweep.first_edit(prompt), len(prompt.tokens) - 1
    if sweep.settings.semantics == "recomputed" and start < last:
        raise ValueError(
            f"semantics: recomputed with scope {sweep.settings.scope!r}, which edits position {start} of prompt "
            f"{prompt.number}, before its last token ({last}), where it would do nothing; use cached"
        )
    if sweep.settings.outcome == "exact":
        depth = int(sweep.answer_tree(prompt).depths.max())
        if start > last + depth:
            raise ValueError(
                f"scope: {sweep.settings.scope!r} begins at position {start} of prompt {prompt.number}, but its "
                f"answers are decided at {last + depth}; nothing would change, include the last prompt token"
            )
        if last + depth >= sweep.model.config.max_position:
            raise ValueError(
                f"answers: prompt {prompt.number} with its answers takes {last + depth + 1} tokens, but the "
                f"context is {sweep.model.config.max_position}; shorten the prompt"
            )


def check_lengths(sweep: PatchSweep) -> None:
    """Refuse rollouts longer than the context."""
    most, new = max(len(prompt.tokens) for prompt in sweep.prompts), sum(sweep.settings.segments)
    if most - 1 + new > sweep.model.config.max_position:
        raise ValueError(
            f"max_new_tokens: {new} after a prompt of {most} tokens exceeds the context of "
            f"{sweep.model.config.max_position}; draw fewer or shorten the prompts"
        )
