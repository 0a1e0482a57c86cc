"""The section of ablations: does it matter what neurons do through later attention, and is one direction enough?"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Facts, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, headings, typed, with_interval
from causeway.ports.pages.workdir import Result

OUTCOMES = {
    "accuracy": ("Accuracy", "change of the share of right answers"),
    "logit_difference": ("Difference of logits", "change of log odds (nats)"),
    "kl": ("Whole distribution", "Kullback-Leibler divergence (nats)"),
}  # fmt: skip
HEADINGS = {
    "place": "measured", "substitution": "in place of the effects", "outcome": "outcome", "clean": "as it stands",
    "value": "replaced", "effect": "change", "low": "low", "high": "high", "q": "q", "prompts": "prompts",
}  # fmt: skip
CRITERIA = {
    "name": "criterion", "value": "value", "low": "low", "high": "high", "side": "needs", "bound": "bound",
    "verdict": "verdict", "note": "note",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway ablate, {result.folder}", result.about
    path = result.folder / "ablations.parquet"
    if not about.get("criteria") or not path.exists():
        return Section(title, anchor, [Missing(f"No ablations yet: {result.missing}.")], lead)
    table = read_parquet(path)
    rows = table.to_pylist()
    criteria = [{**one, "side": "below" if one["below"] else "above"} for one in about["criteria"]]
    kinds: dict[str, type] = dict.fromkeys(CRITERIA, str) | dict.fromkeys(("value", "low", "high", "bound"), float)
    blocks: list[Block] = [
        Prose(_answer(criteria)), Prose(READ, "note"),
        Cards([
            Card("neurons", str(about["neurons"]), "replaced together"),
            Card("prompts", str(about["prompts"]), f"{about['chosen_prompts']} others chose"),
        ]),
        DataTable("criteria", "What was to be shown", "Each with its bound, where it has one; intervals of 95 %.",
                  typed(criteria, **kinds), CRITERIA),
        *(_chart(name, rows) for name in OUTCOMES if any(row["outcome"] == name for row in rows)),
        DataTable("ablations", "Ablations in numbers", "Replaced less as it stands, over the same prompts.", table,
                  headings(table, HEADINGS)),
    ]  # fmt: skip
    told = {name: about[name] for name in ("live_and_output", "words_and_triggers") if about.get(name)}
    if told:
        blocks.append(Facts("How effects in the running model and at the output agree", told))
    return Section(title, anchor, blocks, lead)


READ = (
    "Effects through later attention are replaced by their mean over prompts (mean), by their mean on those prompts "
    "on which the neuron is significant, or is not; by what lies along the main direction (rank_1); by its words "
    "(sparse); or kept above a share. Output: taken from the final stream alone. Live: in the running model."
)


def _answer(criteria: Sequence[Mapping[str, Any]]) -> str:
    """How many bounds are kept, and which are not, or cannot be told."""
    judged = [one for one in criteria if one["verdict"]]
    if not judged:
        return "No bound was set that the ablations had to keep; what they change is shown."
    met = sum(one["verdict"] == "met" for one in judged)
    told = [
        f"{one['name']}, {with_interval(one['value'], one['low'], one['high'], '.2g')} to be {one['side']} "
        f"{one['bound']:g} ({one['verdict']})"
        for one in judged
        if one["verdict"] != "met"
    ]
    first = f"{met or 'None'} of {len(judged)} bounds {'is' if met < 2 else 'are'} kept"
    return f"{first}. The others: {'; '.join(told)}." if told else f"{first}."


def _chart(outcome: str, rows: Sequence[Mapping[str, Any]]) -> Block:
    name, unit = OUTCOMES[outcome]
    drawn = [
        {**row, "label": row["substitution"].replace("_", " "), "kind": row["place"], "value": row["effect"]}
        for row in rows
        if row["outcome"] == outcome
    ]
    kinds = list(dict.fromkeys(row["kind"] for row in drawn))
    return Chart(
        outcome, f"{name}, with effects replaced", f"{unit[0].upper()}{unit[1:]}, paired over prompts, with 95 % "
        "intervals; the line at 0 is no change.", intervals(unit, 0.0, kinds, beside=len(kinds) > 1),
        typed(drawn, **INTERVALS),
    )  # fmt: skip
