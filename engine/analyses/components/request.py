"""`cw.components`: principal components of neurons' second-order effects, asked for in a notebook."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from causeway.engine import scalars
from causeway.engine.analyses.components.code_sweep import CodeSweep, HeldCodes
from causeway.engine.analyses.components.components import (
    LARGEST,
    LayerComponents,
    all_neurons,
    check_chosen,
    chosen_prompts,
    found_layers,
)
from causeway.engine.analyses.represent.request import prompt_record
from causeway.engine.analyses.second_order.aims import ANSWERS
from causeway.engine.analyses.second_order.read_prompts import answered, placed
from causeway.engine.devices import parallel_of
from causeway.engine.frozen.batches import ReadPrompt
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.splits import check_share


@dataclasses.dataclass(frozen=True)
class FoundComponents:
    """Components of neurons of some layers.

    Attributes:
        layers: what was found in each. table: a row a neuron, those of most variance first.
        chosen: prompts that chose; the others are held out.
        sweep, codes: what they were found in.
    """

    layers: Mapping[int, LayerComponents]
    table: pa.Table
    chosen: Bool[np.ndarray, " P"]
    sweep: CodeSweep = dataclasses.field(repr=False)
    codes: HeldCodes = dataclasses.field(repr=False)


def components(
    model: Model,
    prompts: Sequence[Prompt | tuple[str, str, str] | PromptRecord],
    *,
    layer: int | Sequence[int] | None = None,
    neurons: Neurons | None = None,
    position: str = "last",
    largest: int = LARGEST,
    held_out: float = 0.0,
    seed: int = 0,
) -> FoundComponents:
    """Principal component of each neuron's second-order effects over prompts, and how much it explains.

    Args:
        model: a loaded model.
        prompts: texts, token ids, (prompt, right, wrong), or prompt records.
        layer: whose neurons, all of them; or several layers. neurons: these alone.
        position: where the output is read: last, or a place of one token, as -2; or answers, where the two answers
            part, with the tokens that they share fed before.
        largest: effects whose smallest is a neuron's threshold; they also decide its component's sign.
        held_out: share of the prompts' groups that judge; 0: those outside the split `train`, or a fifth. seed: of it.

    Returns:
        Mean effects and components in the space of `final_norm` (inner products with the unembedding are logits), and
        a table: shares of the variance explained, on prompts held out and beside a random direction and a single head,
        and how few prompts hold most of each neuron's effects.

    Raises:
        ValueError: neither or both of layer and neurons, the last layer (nothing reads it), a position that a prompt
            does not have, or fewer prompts than `largest`.
        NotFiniteError: a prompt's pass is not all numbers.

    Source: Gandelsman, Efros and Steinhardt 2025, "Interpreting the Second-Order Effects of Neurons in CLIP".
    """
    check_model(model)
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence) or not prompts:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of prompts")
    k, seed = scalars.integer(largest, "largest", 1), scalars.seed(seed)
    check_share(scalars.real(held_out, "held_out"))
    asked = _neurons(model, layer, neurons)
    records = [prompt_record(number, prompt) for number, prompt in enumerate(prompts)]
    chosen, _ = chosen_prompts(records, held_out, seed)
    check_chosen(chosen, k)
    reads = tuple(read_prompt(model, record, position) for record in records)
    sweep = CodeSweep(model, reads, asked, parallel=parallel_of(model.transformer))
    codes = HeldCodes.of_sweep(sweep)
    found = {one.components.layer: one for one in found_layers(sweep, codes, chosen, k)}
    return FoundComponents(found, all_neurons([one.table for one in found.values()]), chosen, sweep, codes)


def read_prompt(model: Model, record: PromptRecord, position: str) -> ReadPrompt:
    """A prompt and the token that it is read at.

    Raises:
        ValueError: it does not have such a place; for answers, no right and wrong answer that part.
    """
    if scalars.text(position, "position") == ANSWERS:
        return answered(model, record).read
    return placed(model, record, position).read


def _neurons(model: Model, layer: int | Sequence[int] | None, neurons: Neurons | None) -> Neurons:
    if (layer is None) == (neurons is None):
        raise ValueError("layer, neurons: needs one of them, whose second-order effects are looked at")
    if isinstance(neurons, Neurons):
        return neurons
    if neurons is not None:
        raise ValueError(f"neurons: got {scalars.shown(neurons)}; needs Neurons, layers and numbers")
    return Neurons.all_of(model.config, scalars.layers(layer, model.config.num_layers, "layer"))
