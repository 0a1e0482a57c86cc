"""What a model answers to each prompt, as further fields of the prompt's record (`engine/representations.py`)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from causeway.engine.analyses.evaluate.final_answers import scored
from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities, scorable
from causeway.engine.calls.continuations import Continuation
from causeway.engine.devices import RowParallel
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord, check_pair
from causeway.engine.reading.job import Kept
from causeway.engine.reading.passes import ROWS
from causeway.engine.representations import FIELDS
from causeway.engine.tokenized_prompt import TokenizedPrompt, tokenized

FINAL_ANSWER = "final_answer"


def answerable(model: Model, record: PromptRecord) -> TokenizedPrompt:
    """A prompt with its tokens, and those of its answers where it has a right and a wrong one.

    Raises:
        ValueError: a prompt that cannot be run, or answers that cannot be scored.
    """
    if not record.is_pair:
        return tokenized(model, record, answered=False)
    check_pair(record)
    return scorable(model, record)


def answer_fields(
    model: Model,
    prompts: Sequence[TokenizedPrompt],
    *,
    batch_rows: int = ROWS,
    parallel: RowParallel | None = None,
    kept: Kept | None = None,
) -> list[dict[str, Any]]:
    """Log probabilities of both answers and their difference, of each prompt that has two; {} of the others."""
    fields: list[dict[str, Any]] = [{} for _ in prompts]
    paired = [number for number, prompt in enumerate(prompts) if prompt.record.is_pair]
    if paired:
        found = answer_log_probabilities(
            model.transformer, [prompts[i] for i in paired], rows=batch_rows, parallel=parallel, kept=kept
        )
        for number, (right, wrong) in zip(paired, found.tolist(), strict=True):
            fields[number] = {"log_p_correct": right, "log_p_incorrect": wrong, "margin": right - wrong}
    return fields


def written_fields(prompts: Sequence[TokenizedPrompt], written: Sequence[Continuation] | None) -> list[dict[str, Any]]:
    """What was written to each prompt, and whether it is right where the prompt has a final answer.

    Raises:
        ValueError: a final answer that is no number.
    """
    if written is None:
        return [{} for _ in prompts]
    fields: list[dict[str, Any]] = [{"generated": one.text} for one in written]
    judged = [number for number, prompt in enumerate(prompts) if FINAL_ANSWER in prompt.record.fields]
    found = scored([prompts[i].record for i in judged], [written[i].text for i in judged])
    for number, one in zip(judged, found, strict=True):
        fields[number]["generated_correct"] = one.correct
    return fields


def labelled(record: PromptRecord, *parts: dict[str, Any]) -> PromptRecord:
    """A record with new fields in the place of all that an earlier reading of it has left, and its label."""
    new = {name: value for part in parts for name, value in part.items()}
    if "generated_correct" in new:
        new |= {"correct": new["generated_correct"], "label_source": "generated"}
    elif "margin" in new:
        new |= {"correct": bool(new["margin"] > 0), "label_source": "margin"}
    own = {name: value for name, value in record.fields.items() if name not in FIELDS}
    return dataclasses.replace(record, fields={**own, **new})


def label_counts(records: Sequence[PromptRecord]) -> dict[str, Any]:
    """How many prompts are right and wrong, how many are not labelled, and by what they are."""
    told = [record.fields.get("correct") for record in records]
    by = [record.fields.get("label_source") for record in records]
    return {
        "prompts": len(records), "right": sum(t is True for t in told), "wrong": sum(t is False for t in told),
        "unlabelled": sum(t is None for t in told),
        "label_source": {source: int(np.sum([b == source for b in by])) for source in dict.fromkeys(by) if source},
    }  # fmt: skip
