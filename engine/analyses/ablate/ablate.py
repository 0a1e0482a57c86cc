"""Ablations of neurons whose components are known, on the prompts that those were not chosen on.

    output    what the last norm's output would be (`substitutions`), and what it then says (`outcomes`)
    live      the neurons set to their means in the model (`live`)
    report    sparsity, concentration by layer, PC1's variance and drops of accuracy beside the plan's criteria

Shapes: P prompts, B of them held out with two answers, M neurons of a layer, D model.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.ablate import estimates
from causeway.engine.analyses.ablate.live import LiveSweep, by_mode
from causeway.engine.analyses.ablate.outcomes import Outcomes, outcomes_of
from causeway.engine.analyses.ablate.readings import ActivationSums, LayerMasses, mean_activations
from causeway.engine.analyses.ablate.substitutions import PUBLISHED, RANK_1, SPARSE, Changes, Given, substituted
from causeway.engine.analyses.attribute.targets import logit_difference, unembedding_vector
from causeway.engine.analyses.components.code_sweep import Codes, CodeSweep, codes_of
from causeway.engine.analyses.components.neuron_components import chunk_neurons, maps_of
from causeway.engine.analyses.represent.streams import read_streams, represented_place
from causeway.engine.components import Components
from causeway.engine.frozen.batches import ReadPrompt
from causeway.engine.frozen.job import all_arrays
from causeway.engine.model.handle import Model
from causeway.engine.outcome.divergence import diverging_answers
from causeway.engine.prompt_record import PromptRecord, check_pair
from causeway.engine.stats.multiple import Method
from causeway.engine.sweep.job import all_tables
from causeway.engine.tokenized_prompt import TokenizedPrompt

# What the original plan asks for.
SPARSITY, CONCENTRATION, DROP = 0.05, 0.80, 0.01


@dataclasses.dataclass(frozen=True)
class Layer:
    """Neurons of one layer.

    Attributes:
        components: of them. threshold: [M] beyond which an effect is significant. explained: [M] share of the variance
            on prompts held out, NaN where nothing varies.
        directions: further ones that effects are reduced to, [M, D], by substitution; 0 where a neuron has none.
    """

    components: Components
    threshold: Float[np.ndarray, " M"]
    explained: Float[np.ndarray, " M"]
    directions: Mapping[str, Float[np.ndarray, "M D"]] = dataclasses.field(default_factory=dict)


def layer_of(
    components: Components, table: pa.Table, directions: Mapping[str, Float[np.ndarray, "M D"]] | None = None
) -> Layer:
    """What a table of neurons says of some components.

    Raises:
        ValueError: it lacks one of them.
    """
    rows = table.filter(pc.equal(table["layer"], components.layer))
    place = {number: row for row, number in enumerate(rows["neuron"].to_pylist())}
    if missing := [number for number in components.neuron.tolist() if number not in place]:
        raise ValueError(f"components: neurons.parquet lacks {components.layer}:{missing[0]}; make them again")
    order = [place[number] for number in components.neuron.tolist()]
    threshold, explained = (
        rows[name].to_numpy().astype(np.float64)[order] for name in ("threshold", "explained_held_out")
    )
    return Layer(components, np.nan_to_num(threshold), explained, directions or {})


@dataclasses.dataclass(frozen=True)
class Ablation:
    """What is ablated, and on which prompts.

    Attributes:
        sweep: of the codes, whose prompts are all prompts. codes: on them. chosen: prompts that chose.
        layers: what is known of the neurons. numbers: of the prompts held out that are asked about.
        pairs: tokens of the right and of the wrong answer of these. largest: effects of a neuron beyond or at its
            threshold, of those that chose.

    Raises:
        ValueError: no prompts.
    """

    sweep: CodeSweep
    codes: Codes
    chosen: Bool[np.ndarray, " P"]
    layers: Mapping[int, Layer]
    numbers: Int[np.ndarray, " B"]
    pairs: Int[np.ndarray, "B 2"]
    largest: int

    def __post_init__(self):
        if not len(self.numbers):
            raise ValueError("prompts: none of those held out has a right and a wrong answer; needs some, to judge by")

    @property
    def model(self) -> Model:
        """Whose neurons they are."""
        return self.sweep.model

    @property
    def prompts(self) -> tuple[ReadPrompt, ...]:
        """Those asked about."""
        return tuple(self.sweep.prompts[number] for number in self.numbers)


def answer_tokens(model: Model, record: PromptRecord, read: ReadPrompt) -> tuple[int, int]:
    """The tokens by which the right and the wrong answer differ, at the token that a prompt is read at.

    Raises:
        ValueError: no two answers, or answers that part elsewhere.
    """
    check_pair(record)
    found = diverging_answers(model, record.content, (record.correct, record.incorrect))
    if found.prompt != read.tokens or read.position != len(read.tokens) - 1:
        raise ValueError(
            f"{read.name}: its answers part after {len(found.prompt)} tokens, but its components are of token "
            f"{read.position} of {len(read.tokens)}; make these with --position=answers"
        )
    right, wrong = found.tokens
    return right, wrong


@dataclasses.dataclass(frozen=True)
class OutputSpace:
    """What substitutions do in the output space.

    Attributes:
        clean: outcomes as they are. outcomes: by substitution. significant: [B, M] of each layer, effects beyond their
            threshold.
    """

    clean: Outcomes
    outcomes: dict[str, Outcomes]
    significant: dict[int, Bool[np.ndarray, "B M"]]


def in_output_space(given: Ablation) -> OutputSpace:
    """Sum what every neuron's substitution changes, and read the outputs."""
    changes, significant = all_changes(given)
    place = represented_place(given.model, "final_norm")
    prompts = [TokenizedPrompt(PromptRecord("", id=read.name), read.tokens) for read in given.prompts]
    positions = [read.position for read in given.prompts]
    clean = read_streams(given.model.transformer, prompts, positions, place, parallel=given.sweep.parallel)
    whole, outcomes = outcomes_of(given.model.transformer, clean, changes, given.pairs)
    return OutputSpace(whole, outcomes, significant)


def all_changes(given: Ablation) -> tuple[Changes, dict[int, Bool[np.ndarray, "B M"]]]:
    """Changes of the output over all neurons, and which effects are significant."""
    model = given.model
    total: Changes = {}
    significant: dict[int, list[np.ndarray]] = {}
    for at, layer in given.layers.items():
        own, count = layer.components.neuron, codes_of(model.config, at)
        size = chunk_neurons(len(given.chosen), 3 * count, model.config.d_model, 1, 4)
        for start in range(0, len(own), size):
            part = slice(start, min(start + size, len(own)))
            directions = {RANK_1: layer.components.component, **layer.directions}
            known = Given(layer.threshold[part], {name: vectors[part] for name, vectors in directions.items()})
            maps = maps_of(model.transformer, at, own[part])
            found = substituted(maps, given.codes.of(at, part), given.chosen, given.numbers, known)
            significant.setdefault(at, []).append(found.significant)
            total = {name: total[name] + change if total else change for name, change in found.changes.items()}
    return total, {at: np.concatenate(parts, axis=1) for at, parts in significant.items()}


def live_outcomes(
    given: Ablation, significant: Mapping[int, Bool[np.ndarray, "B M"]], workdir: Path | None = None
) -> dict[str, Outcomes]:
    """What the model says with the neurons at their means, by mode.

    Args:
        significant: of the output space. workdir: where what is run is kept, and where the same call goes on.

    Raises:
        Stopped: by a signal or a full disk; what is finished is kept.
    """
    chosen = tuple(given.sweep.prompts[number] for number in np.flatnonzero(given.chosen))
    sums = ActivationSums(given.model, chosen, given.sweep.neurons, parallel=given.sweep.parallel)
    found = all_arrays(sums, None if workdir is None else workdir / "activations")
    means = mean_activations(found, [len(prompt.tokens) for prompt in chosen])
    known = given.model, given.prompts, given.pairs, given.sweep.neurons, means, significant
    sweep = LiveSweep(*known, given.sweep.parallel)
    rows = list(all_tables(sweep, None if workdir is None else workdir / "live"))
    return by_mode(rows, len(given.numbers))


def layer_masses(given: Ablation, workdir: Path | None = None) -> Float[np.ndarray, "B L"]:
    """Second-order mass of every layer on the prompts held out, along the difference of their answers."""
    vectors = [
        unembedding_vector(given.model, logit_difference(int(right), int(wrong))) for right, wrong in given.pairs
    ]
    dtype = np.dtype(given.model.numerics.accumulate)
    masses = LayerMasses(given.model, given.prompts, np.stack(vectors).astype(dtype), parallel=given.sweep.parallel)
    return all_arrays(masses, None if workdir is None else workdir / "mass")["mass"]


def ablation_results(
    given: Ablation,
    space: OutputSpace,
    live: Mapping[str, Outcomes],
    mass: Float[np.ndarray, "B L"],
    *,
    correction: Method = "bh",
) -> tuple[pa.Table, dict[str, Any]]:
    """The table of substitutions, and the report.

    Args:
        live: outcomes by mode; empty where nothing was run. mass: of every layer.
    """
    places = {estimates.OUTPUT: space.outcomes} | ({estimates.LIVE: live} if live else {})
    table = estimates.table(space.clean, places, correction)
    rows = table.to_pylist()
    criteria = _criteria(given, space, rows, mass)
    layers = [{"layer": at, "mass": float(m), "chosen": at in given.layers} for at, m in enumerate(mass.mean(axis=0))]
    report = {
        "model": given.model.name, "prompts": len(given.numbers), "chosen_prompts": int(given.chosen.sum()),
        "neurons": len(given.sweep.neurons.neuron), "layers": layers,
        "criteria": [criterion.as_json() for criterion in criteria],
        "live_and_output": estimates.agreement(space.clean, space.outcomes, live),
    }  # fmt: skip
    return table, report


def _criteria(
    given: Ablation, space: OutputSpace, rows: Sequence[Mapping[str, Any]], mass: Float[np.ndarray, "B L"]
) -> list[estimates.Criterion]:
    beyond = np.concatenate([space.significant[at] for at in given.layers], axis=1).mean(axis=1)
    total, own = mass.sum(axis=1), mass[:, list(given.layers)].sum(axis=1)
    share = np.divide(own, total, out=np.zeros(len(own)), where=total > 0)
    below = given.model.config.num_layers - 1
    note = "all layers that attention reads are chosen" if len(given.layers) == below else ""
    explained = np.concatenate([layer.explained for layer in given.layers.values()])
    median = float(np.nanmedian(explained)) if np.isfinite(explained).any() else np.nan
    drops = dict.fromkeys((RANK_1, SPARSE, PUBLISHED, "insignificant"), DROP) | {"significant": None, "mean": None}
    return [
        estimates.of_shares(
            "prompts beyond a neuron's threshold",
            beyond,
            SPARSITY,
            below=True,
            note=f"{given.largest / given.chosen.sum():.2%} of the prompts that chose, by construction",
        ),
        estimates.of_shares("second-order mass in the chosen layers", share, CONCENTRATION, below=False, note=note),
        estimates.Criterion("variance along PC1, median over neurons", median, np.nan, np.nan),
        *(estimates.drop_of(rows, name, bound) for name, bound in drops.items() if name in space.outcomes),
    ]


def as_published(given: Ablation) -> dict[str, Any]:
    """The original's sparsity: the share of prompts that its threshold is made to leave, whatever the neurons do."""
    count = int(given.chosen.sum())
    return {"largest": given.largest, "prompts": count, "sparsity_by_definition": given.largest / count}


def lines(table: pa.Table, report: Mapping[str, Any]) -> list[str]:
    """A report for people."""
    made = ["place   substitution        accuracy            logit difference     KL (nats)"]
    rows = {(row["place"], row["substitution"], row["outcome"]): row for row in table.to_pylist()}
    for place, name in dict.fromkeys((place, name) for place, name, _ in rows):
        right, moved, kl = (rows[place, name, o] for o in (estimates.ACCURACY, estimates.DIFFERENCE, estimates.KL))
        made.append(
            f"{place:6}  {name:18}  {right['value']:6.1%} ({right['effect']:+7.1%})  {moved['value']:+8.3f} "
            f"({moved['effect']:+.3f})  {kl['value']:9.4f}"
        )
    for name, one in report["live_and_output"].items():
        told = "none" if one["correlation"] is None else f"{one['correlation']:+.2f}"
        made.append(f"{name}, live and in the output space: correlation {told}, same sign {one['sign_agreement']:.0%}")
    return [*made, *(estimates.Criterion(**_own(one)).line() for one in report["criteria"])]


def _own(criterion: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in criterion.items() if name != "verdict"}
