"""`cw.evaluate`: does the model tell right answers from wrong ones, asked for in a notebook."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.evaluate.baseline import scores_of
from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities, scorable
from causeway.engine.model.handle import Model, check_model
from causeway.engine.prompt_record import PromptRecord, check_pair, pair
from causeway.engine.reading.read import ROWS


def evaluate(model: Model, prompts: Sequence[tuple[str, str, str]], *, batch_rows: int = ROWS) -> pa.Table:
    """Log probabilities of a right and a wrong answer to each prompt.

    Args:
        model: a loaded model with a tokenizer.
        prompts: (prompt, right answer, wrong answer), texts; answers begin with their space.
        batch_rows: rows of a pass.

    Returns:
        A row a prompt: prompt, correct, incorrect; log_p_correct, log_p_incorrect and difference in nats;
        normalised_difference in nats a token; right (whether difference > 0).

    Raises:
        ValueError: something else than three texts, or answers that never part or merge with the prompt.
    """
    check_model(model)
    if isinstance(prompts, str) or not isinstance(prompts, Sequence) or not prompts:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of (prompt, right, wrong)")
    items = [pair_of(texts, f"prompt {number}") for number, texts in enumerate(prompts)]
    listed = [scorable(model, item) for item in items]
    rows = scalars.integer(batch_rows, "batch_rows", 1)
    scores = scores_of(listed, answer_log_probabilities(model.transformer, listed, rows=rows))
    return pa.table({
        "prompt": [item.text for item in items], "correct": [item.correct for item in items],
        "incorrect": [item.incorrect for item in items], "log_p_correct": [score.correct for score in scores],
        "log_p_incorrect": [score.incorrect for score in scores],
        "difference": [score.difference for score in scores],
        "normalised_difference": [score.normalised_difference for score in scores],
        "right": [score.difference > 0 for score in scores],
    })  # fmt: skip


def pair_of(texts: Any, name: str) -> PromptRecord:
    """(prompt, right answer, wrong answer) as a record.

    Raises:
        ValueError: something else than three texts, or one answer twice.
    """
    three = isinstance(texts, list | tuple) and len(texts) == 3
    if not three or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"prompts: got {scalars.shown(texts)}; needs (prompt, right answer, wrong answer), texts")
    found = pair(*texts, id=name)
    check_pair(found)
    return found
