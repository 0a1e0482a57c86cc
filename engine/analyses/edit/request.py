"""`cw.edit`: do neurons scaled in the weights make a model answer better, asked for in a notebook."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.edit.edit_results import EditResults
from causeway.engine.analyses.edit.edit_sweep import EditSweep, Items, measured, text_row
from causeway.engine.analyses.edit.settings import FACTORS, settings_of
from causeway.engine.analyses.evaluate.request import pair_of
from causeway.engine.analyses.evaluate.teacher_forcing import scorable
from causeway.engine.choosing import divided
from causeway.engine.devices import parallel_of
from causeway.engine.model.handle import Model, check_model
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.reading.read import ROWS

Pairs = Sequence[tuple[str, str, str]]


def edit(
    model: Model,
    prompts: Pairs,
    neurons: Neurons | Sequence[tuple[int, int]],
    *,
    factors: Sequence[float] = FACTORS,
    together: Sequence[int] | None = None,
    signs: Float[np.ndarray, " M"] | Sequence[float] | None = None,
    unrelated: Pairs = (),
    unrelated_texts: Sequence[str] = (),
    length: int = 128,
    held_out: float = 0.5,
    seed: int = 0,
    batch_rows: int = ROWS,
    workdir: str | Path | None = None,
) -> EditResults:
    """Scale neurons at all tokens, alone and together, and measure what the model answers and what it costs elsewhere.

    The setting with the largest effect on some prompts is chosen; the others tell what it is worth.

    Args:
        model: a loaded model with a tokenizer.
        prompts: of the task, (prompt, right answer, wrong answer), texts; answers begin with their space.
        neurons: (layer, neuron) pairs, those that matter most first.
        factors: what activations are multiplied by.
        together: how many of the first neurons are scaled together; default 2, 4, 8, ... and all.
        signs: of each neuron a number, such as its score on a direction of correct answers: those above 0 are amplified
            and those below suppressed; None scales all alike.
        unrelated: prompts of other tasks. unrelated_texts: texts, of which the loss of the next token is taken.
        length: most tokens of a text.
        held_out: share of the prompts that does not choose.
        seed: of the division.
        batch_rows: rows of a pass.
        workdir: where what is measured is kept, and where the same call goes on; None keeps nothing.

    Returns:
        The results: `table()`, `summary()`, and `edits`, which `save_model` writes into weights.

    Raises:
        ValueError: prompts, neurons or numbers that cannot mean what they say, or a prompt that comes twice.
        KeyboardInterrupt: it was stopped; with `workdir` the same call goes on.
    """
    check_model(model)
    if not isinstance(workdir, str | Path | None):
        raise ValueError(f"workdir: got {scalars.shown(workdir)}; needs the name of a folder, or None")
    chosen = neurons if isinstance(neurons, Neurons) else _neurons(neurons)
    given = None if signs is None else np.asarray(scalars.finite_array(signs, "signs"), np.float64)
    settings = settings_of(chosen, factors, together, given)
    task, other = _records(prompts, "prompts"), _records(unrelated, "unrelated")
    texts = unrelated_texts if isinstance(unrelated_texts, list | tuple) else [unrelated_texts]
    most = scalars.integer(length, "length", 3)
    items = Items(
        [scorable(model, record) for record in task],
        divided(task, scalars.real(held_out, "held_out", 0, 1), seed=seed),
        [scorable(model, record) for record in other],
        [text_row(model, scalars.text(text, "unrelated_texts"), most) for text in texts],
    )
    rows = scalars.integer(batch_rows, "batch_rows", 1)
    sweep = EditSweep.of(model, items, settings, rows, parallel_of(model.transformer))
    return EditResults(sweep, measured(sweep, None if workdir is None else Path(workdir)))


def _neurons(pairs: Sequence[tuple[int, int]]) -> Neurons:
    found = scalars.integers(pairs, "neurons")
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"neurons: got {scalars.shown(pairs)}; needs (layer, neuron) pairs")
    return Neurons(*found.T)


def _records(prompts: Pairs, name: str) -> list[PromptRecord]:
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise ValueError(f"{name}: got {scalars.shown(prompts)}; needs a list of (prompt, right, wrong)")
    return [pair_of(texts, f"{name} {number}") for number, texts in enumerate(prompts)]
