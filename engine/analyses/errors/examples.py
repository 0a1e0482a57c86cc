"""The prompts on which a neuron's value is largest, among wrong answers and among right ones.

Shapes: P prompts, K neurons. The size of a value is its distance from 0.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from causeway.engine.analyses.errors.labels import CLASSES, Labelled
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord


def examples(given: Labelled, best: Neurons, values: Float[np.ndarray, "P K"], count: int) -> Iterator[dict[str, Any]]:
    """A row for each neuron, class and prompt, the largest values first.

    Args:
        values: of the neurons on the prompts of `given`. count: prompts of each class.
    """
    pairs = zip(best.layer.tolist(), best.neuron.tolist(), strict=True)
    for (layer, neuron), column in zip(pairs, values.T, strict=True):
        for of, name in zip((~given.right, given.right), CLASSES[given.labels], strict=True):
            own = np.flatnonzero(of)
            for place, i in enumerate(own[np.argsort(-np.abs(column[own]), kind="stable")][:count].tolist()):
                side = "choose" if given.choose[i] else "judge"
                yield {
                    "layer": layer, "neuron": neuron, "class": name, "place": place, "value": float(column[i]),
                    "side": side, **_of_prompt(given.records[i]),
                }  # fmt: skip


def _of_prompt(record: PromptRecord) -> dict[str, Any]:
    """What it asks, what is right and what the model answers: what it wrote, else the more probable answer."""
    fields, right = record.fields, record.correct if record.is_pair else record.fields.get("final_answer")
    given = fields.get("generated")
    if given is None and record.is_pair and fields.get("margin") is not None:
        given = record.correct if fields["margin"] > 0 else record.incorrect
    prompt = record.text or list(record.tokens or ())
    return {
        "id": record.id, "prompt": prompt, "group": record.group, "right_answer": right, "given_answer": given,
        "margin": fields.get("margin"), "correct": fields.get("correct"),
    }  # fmt: skip
