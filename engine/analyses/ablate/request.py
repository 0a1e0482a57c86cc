"""`cw.ablate`: what a model says without second-order effects of neurons, or with simpler ones, in a notebook."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.ablate.ablate import (
    Ablation,
    ablation_results,
    answer_tokens,
    in_output_space,
    layer_masses,
    layer_of,
    lines,
    live_outcomes,
)
from causeway.engine.analyses.components.request import FoundComponents
from causeway.engine.analyses.represent.request import prompt_record
from causeway.engine.model.handle import Model, check_model
from causeway.engine.prompt_record import PromptRecord


@dataclasses.dataclass(frozen=True)
class Ablated:
    """What ablation found.

    Attributes:
        table: a row for each place (output, live), substitution and outcome: its value, change, interval, p and q.
        report: layers' masses, criteria with verdicts, and how live rows go with the output space, as JSON values.
    """

    table: pa.Table
    report: Mapping[str, Any]

    def __str__(self) -> str:
        return "\n".join(lines(self.table, self.report))


def ablate(
    model: Model,
    prompts: Sequence[tuple[str, str, str] | PromptRecord],
    components: FoundComponents,
    *,
    live: bool = True,
) -> Ablated:
    """What changes on held-out prompts where neurons' second-order effects are taken away or simplified.

    Args:
        model: that the components were found in.
        prompts: the same, in the same order, each with its right and wrong answer, as `evaluate` takes them.
        components: of `cw.components`.
        live: also set the neurons to their means in the model itself.

    Returns:
        Accuracy, logit difference (nats) and KL of the next token (nats) under each substitution, on the prompts that
        the components were not chosen on; with intervals over prompts.

    Raises:
        ValueError: other prompts than the components', answers that part elsewhere than where these were read
            (`components` reads there with position="answers"), or components of another model.
        NotFiniteError: a pass is not all numbers.

    Source: Gandelsman, Efros and Steinhardt 2025, section 4, whose thresholds and substitutions these are.
    """
    check_model(model)
    if not isinstance(components, FoundComponents):
        raise ValueError(f"components: got {scalars.shown(components)}; needs what cw.components gives")
    run_live, count = scalars.truth(live, "live"), len(components.sweep.prompts)
    if components.sweep.model.fingerprint != model.fingerprint:
        raise ValueError("components: found in another model; find them in this one")
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence) or len(prompts) != count:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs the {count} that the components were found on")
    numbers = np.flatnonzero(~components.chosen)
    records = [prompt_record(number, prompts[number]) for number in numbers.tolist()]
    reads = [components.sweep.prompts[number] for number in numbers]
    pairs = [answer_tokens(model, record, read) for record, read in zip(records, reads, strict=True)]
    k = next(iter(components.layers.values())).largest.shape[1]
    layers = {at: layer_of(one.components, components.table) for at, one in components.layers.items()}
    given = Ablation(
        components.sweep, components.codes, components.chosen, layers, numbers, np.array(pairs, np.int32), k
    )
    space = in_output_space(given)
    found = live_outcomes(given, space.significant) if run_live else {}
    return Ablated(*ablation_results(given, space, found, layer_masses(given)))
