"""The section of a patching sweep: which features change what the model does, by how much, and how sure that is.

Effects are those of `effects.parquet`, as the command estimated them; which of them are drawn, and in which order, is
`effect_rows`'s.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from causeway.engine.analyses.patch_sweep.causal_rule import CausalRule
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.counts import counts_by_layer
from causeway.ports.pages.charts.dose_curves import dose_curves
from causeway.ports.pages.charts.forest import COLOURS, VERDICTS, forest
from causeway.ports.pages.charts.strips import strips
from causeway.ports.pages.charts.traces import traces
from causeway.ports.pages.charts.volcano import volcano
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Facts, Missing, Prose, Section
from causeway.ports.pages.sections import effect_rows, trace_rows
from causeway.ports.pages.sections.failed_criteria import failed_criteria
from causeway.ports.pages.workdir import Result

STRONGEST, CURVES, TRACED, POINTS = 20, 6, 3, 3_000
HEADINGS = {
    "layer": "layer", "feature": "feature", "contrast": "compared", "effect": "effect", "low": "from", "high": "to",
    "q": "q", "envelope": "random reach", "verdict": "verdict", "fails": "fails", "not_evaluated": "not evaluated",
    "n_prompts": "prompts",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section; of a sweep that has not ended, how far it is."""
    lead = f"causeway patch_sweep, {result.folder}"
    if not result.whole:
        return Section(title, anchor, [Missing(f"No effects yet: {result.missing}.")], lead)
    effects = read_parquet(result.folder / "effects.parquet")
    about = result.about
    blocks: list[Block] = [Cards(_cards(about)), *_how(about), *_warnings(about)]
    moved = [name for name in about["outcomes"] if any(row["effect"] for row in about["outcomes"][name]["strongest"])]
    if still := [name for name in about["outcomes"] if name not in moved]:
        blocks.append(Prose(f"No feature changes {', '.join(still)}.", "note"))
    moved.sort(key=lambda name: -about["outcomes"][name]["causal_features"])
    for place, name in enumerate(moved):
        blocks += _outcome(effects, name, about, result, whole=place == 0)
    return Section(title, anchor, blocks, lead)


UNITS = {"log_odds": "nats", "expected_amount": "amount"}


def unit(outcome: str, about: Mapping[str, Any]) -> str:
    """What an axis of effects on an outcome says."""
    what = about["reading"]["log_odds"].replace(", nats", "") if outcome == "log_odds" else outcome
    return f"change of {what} ({UNITS.get(outcome, 'probability')})"


def _cards(about: Mapping[str, Any]) -> list[Card]:
    prompts = about["prompts"]
    causal = [f"{found['causal_features']} on {name}" for name, found in about["outcomes"].items()]
    most = max((found["causal_features"] for found in about["outcomes"].values()), default=0)
    kind = "sampled" if about["reading"]["kind"].startswith("sampled") else "exact"
    note = "rollouts drawn and parsed" if kind == "sampled" else "probabilities computed, nothing drawn"
    return [
        Card("features tested", str(about["features"])),
        Card("causal, at most", str(most), ", ".join(causal)),
        Card("prompts", str(sum(prompts.values())), ", ".join(f"{count} {name}" for name, count in prompts.items())),
        Card("outcomes", kind, note),
    ]


HOW = (
    "One feature at a time is changed, and the model's answers are compared with those to the same prompt under "
    "another arm. patch:GROUP uses the feature's value in that group, ablate takes the feature out, noop leaves "
    "it at its own value, and random:GROUP makes a change of the same size along a random feature. An effect is "
    "the outcome of the first arm less that of the second, the mean over prompts. q is the false discovery rate: "
    "of effects with q at or below 0.05, at most one in twenty is expected to be false."
)
OTHERS = "Of each feature one contrast is shown, its largest; effects.parquet has all."
HALVES = "Which effects are real was decided on one half of the prompts (q), how large they are on the other half."
WHOLE = "The prompts were not divided into those that choose and those that estimate, so no feature is called causal."


def _how(about: Mapping[str, Any]) -> list[Block]:
    """How the numbers came about, and how they are to be read."""
    halves = HALVES if about["reading"]["split"] is True else WHOLE
    facts = {"edits": about.get("edits", {}), "arms": about["arms"], **about["reading"]}
    return [
        Prose(HOW),
        Prose(halves, "note"),
        Prose(_by_outcome(about), "note"),
        Facts("What was done, and how the numbers are to be read", facts),
    ]


def _by_outcome(about: Mapping[str, Any]) -> str:
    """That outcomes are decided apart, and in what they differ."""
    rule = CausalRule(**about["reading"]["settings"]["rule"])
    sizes = ", ".join(
        " ".join(filter(None, (f"{rule.threshold(name):g}", UNITS.get(name), "on", name))) for name in about["outcomes"]
    )
    return (
        "Each outcome is decided by itself, so a feature can be causal on one and not on another. The least size that "
        f"is asked for is {sizes}; q, how far random features reach, signs and doses are the outcome's own."
    )


def _warnings(about: Mapping[str, Any]) -> list[Block]:
    found: list[Block] = [Prose(text, "warning") for text in about.get("warnings", ())]
    share = about.get("answers_hold")
    if share is not None and share < 0.05:
        found.append(
            Prose(f"The answers hold {share:.2g} of the probability; read log_odds, whose unit is nats.", "warning")
        )
    return found


def _outcome(effects: pa.Table, name: str, about: Mapping[str, Any], result: Result, whole: bool) -> list[Block]:
    """The blocks of one outcome; all of them of the first, the strongest effects alone of the others."""
    tested = effect_rows.tested(effects, name)
    features = effect_rows.by_feature(tested)
    rule = CausalRule(**about["reading"]["settings"]["rule"])
    features = features.append_column("fails", failed_criteria(features, rule, name))
    axis = unit(name, about)
    blocks: list[Block] = [_forest(features.slice(0, STRONGEST), name, axis)]
    if whole:
        blocks += [*_volcano(tested, name, axis, about), *_doses(effects, features, name, axis)]
        blocks += [_counts(features, name), *_controls(effects, name, axis), *_traces(result, features)]
    blocks.append(DataTable(
        f"table_{name}", f"Effects on {name}",
        f"A line a feature, by its largest contrast; causal ones first. {OTHERS} "
        f"Fails: what keeps it from being called causal. Effects and intervals: {axis}.",
        features, HEADINGS, file=str(result.folder / "effects.parquet"),
    ))  # fmt: skip
    return blocks


def _forest(rows: pa.Table, name: str, axis: str) -> Chart:
    controls = rows["envelope"].null_count < rows.num_rows
    reach = " Grey ticks: how far 95 % of random features of equal norm go." if controls else ""
    return Chart(
        f"forest_{name}", f"Strongest effects on {name}",
        f"The {rows.num_rows} features with the largest effects, causal ones first, as layer/feature and what is "
        f"compared. Points are effects ({axis}), lines 95 % intervals; where prompts are too few for one there is no "
        f"line. {OTHERS}{reach}",
        forest(axis, controls), rows,
    )  # fmt: skip


def _volcano(tested: pa.Table, name: str, axis: str, about: Mapping[str, Any]) -> list[Block]:
    rows = effect_rows.with_q(tested)
    if not rows.num_rows:
        return [Prose(f"No effect on {name} has a q: prompts are too few for a test.", "note")]
    drawn = effect_rows.thinned(rows, POINTS)
    left = f" {rows.num_rows - drawn.num_rows} of the smallest are left out." if drawn.num_rows < rows.num_rows else ""
    alpha = about["reading"]["settings"]["rule"]["alpha"]
    return [Chart(
        f"volcano_{name}", f"All tests on {name}",
        f"A point for each feature and contrast: its effect ({axis}) and q, smaller upwards. Dashed: q = {alpha}. "
        f"Effects that are large and sure stand at the upper left and right.{left}",
        volcano("effect", axis, alpha, VERDICTS, COLOURS, ("layer", "feature", "contrast")), drawn,
    )]  # fmt: skip


def _doses(effects: pa.Table, features: pa.Table, name: str, axis: str) -> list[Block]:
    rows = effect_rows.doses(effects, features.slice(0, CURVES), name)
    if not rows.num_rows:
        return []
    return [Chart(
        f"doses_{name}", f"Dose curves on {name}",
        f"The {CURVES} features with the largest effects. Across: how far each is moved from its own value to the "
        f"value set, which is 1. Up: the effect ({axis}), with its 95 % interval as a band. A feature that acts by "
        "itself rises or falls steadily.", dose_curves(f"effect ({UNITS.get(name, 'probability')})"), rows,
    )]  # fmt: skip


def _counts(features: pa.Table, name: str) -> Chart:
    return Chart(
        f"layers_{name}", f"Features by layer, on {name}",
        "How many features of each layer were tested, and what was decided of them (number of features).",
        counts_by_layer(VERDICTS, COLOURS), features.select(["layer", "feature", "verdict"]))  # fmt: skip


def _traces(result: Result, features: pa.Table) -> list[Block]:
    if not trace_rows.recorded(result.plan):
        return []
    chosen = features.slice(0, TRACED)
    pairs = list(zip(chosen["layer"].to_pylist(), chosen["feature"].to_pylist(), strict=True))
    rows = trace_rows.trace_rows(result.folder, pairs)
    if not rows.num_rows:
        return [Prose("The features with the largest effects were not recorded while the model wrote.", "note")]
    return [Chart(
        "traces", "Activations while the model writes",
        f"The {TRACED} features with the largest effects, in the first rollout of the first prompt of each group. A "
        "line an arm; arms draw the same random numbers, so lines part where the edit makes them. Up: the feature's "
        "value after the edit, in the dictionary's scale; where only the strongest were recorded, 0 stands for the "
        "others.",
        traces("feature value"), rows,
    ), DataTable(
        "responses", "What the model wrote in these rollouts", "Every arm's text, as it was read for its answer.",
        trace_rows.responses(rows), {"label": "feature, group, prompt", "arm": "arm", "response": "text"}, shown=40,
    )]  # fmt: skip


def _controls(effects: pa.Table, name: str, axis: str) -> list[Block]:
    rows = effect_rows.beside_controls(effects, name)
    drawn = effect_rows.thinned(rows, POINTS)
    if "control" not in rows["kind"].to_pylist():
        return [Prose("The sweep has no arm of random features to hold the effects against.", "note")]
    return [Chart(
        f"controls_{name}", f"Effects and their controls, on {name}",
        f"A tick a feature ({axis}). Controls in grey: random features, written with the same norm where the tested "
        "ones are, and the no-op, which sets every feature to its own value.", strips(axis), drawn,
    )]  # fmt: skip
