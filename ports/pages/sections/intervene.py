"""The section of `intervene`: what changing features did over prompts, and how it follows what graphs predict."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from causeway.ports.pages.charts.forest import forest
from causeway.ports.pages.charts.predicted import predicted
from causeway.ports.pages.graph_known import HOLDS, edit_of, rows_of
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.workdir import Result, read_json

# Points of a scatter, the largest measured changes, and lines of a forest.
MOST_POINTS, MOST_LINES = 3_000, 30
UNIT = "nats"
EFFECTS = {
    "label": "features", "place": "place", "edit": "edit", "prompts": "prompts", "effect": "effect", "low": "from",
    "high": "to", "p": "p", "q": "q", "recovery": "recovery",
}  # fmt: skip
AGREEMENT = {
    "id": "prompt", "operation": "edit", "points": "features", "slope": "slope", "pearson": "Pearson",
    "spearman": "Spearman",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead = f"causeway intervene, {result.folder}"
    if not result.whole:
        return Section(title, anchor, [Missing(f"No interventions yet: {result.missing}.")], lead)
    holds = result.plan["config"]["settings"]["holds"]
    rows = list(rows_of(pq.read_table(result.folder / "interventions.parquet")))
    if not rows:
        return Section(title, anchor, [Missing("No feature was changed in any prompt.")], lead)
    blocks: list[Block] = [Cards([
        Card("interventions", f"{len(rows):,}", f"in {len({row['prompt'] for row in rows})} prompts"),
        Card("attention", HOLDS.get(holds, holds), "while features are changed"),
    ]), *_scatter(rows)]  # fmt: skip
    for path in sorted(result.folder.glob("*/intervention_*_summary.json")):
        blocks += _summary(path)
    return Section(title, anchor, blocks, lead)


def _scatter(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    points = [
        {"label": _label(row), "prompt": row["id"], "edit": edit_of(row), "predicted": row["predicted"],
         "measured": row["intervened"] - row["baseline"]}
        for row in rows if row["predicted"] is not None and row["kind"] == "single"
    ]  # fmt: skip
    if not points:
        return [Prose("No effects were predicted: graphs (--graphs) are what predicts them.", "note")]
    points.sort(key=lambda point: -abs(point["measured"]))
    return [Chart(
        "predicted", "Predicted and measured changes",
        "A point a feature of one prompt. Across: what the graph predicts for the difference of the two answers' "
        "logits, by direct effects with attention and normalisation as they were. Up: what changing the feature did. "
        f"On the dashed line both are the same; below it in size, what lies between takes part of it up ({UNIT}).",
        predicted(UNIT), pa.Table.from_pylist(points[:MOST_POINTS]),
    )]  # fmt: skip


def _summary(path: Path) -> list[Block]:
    """Effects over the prompts of a behaviour."""
    content = read_json(path)
    name = path.name.removeprefix("intervention_").removesuffix("_summary.json")
    anchor = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "-" for sign in name)
    rows = [_effect(row) for row in content.get("effects", ())]
    if not rows:
        return []
    rows.sort(key=lambda row: -abs(row["effect"] or 0))
    table = pa.Table.from_pylist(rows)
    blocks: list[Block] = [Chart(
        f"effects_{anchor}", f"Effects, {name}",
        f"The {min(len(rows), MOST_LINES)} largest effects: how much the difference of the two answers' logits falls "
        f"where the feature is changed ({UNIT}), the mean over prompts with its 95 % interval, where there are "
        "prompts enough to tell.", forest(f"effect ({UNIT})", False), table.slice(0, MOST_LINES),
    ), DataTable(
        f"table_{anchor}", f"All effects, {name}",
        "Effect: before minus after. end-3 is the third token before the last. Recovery: the share of "
        "the clean prompt's difference that a patch brings back. "
        "q is p corrected for the number of tests.", table, EFFECTS, file=str(path),
    )]  # fmt: skip
    if agreement := content.get("predicted_and_measured"):
        table = pa.Table.from_pylist([{column: row.get(column) for column in AGREEMENT} for row in agreement])
        blocks.append(DataTable(
            f"agreement_{anchor}", f"How measured changes follow predicted ones, {name}",
            "A row a prompt: slope of measured over predicted changes of single features (1 where both are the same), "
            "and correlations.", table, AGREEMENT,
        ))  # fmt: skip
    return blocks


def _effect(row: Mapping[str, Any]) -> dict[str, Any]:
    q = row.get("q")
    verdict = "cannot tell" if q is None else ("causal" if q < 0.05 else "not causal")
    return {
        "label": _label(row), "detail": f"{row['prompts']} prompts, {edit_of(row)}", "place": row["place"],
        "edit": edit_of(row), "prompts": row["prompts"], "effect": row["effect"], "low": row["effect_low"],
        "high": row["effect_high"], "p": row["p"], "q": q, "recovery": row["recovery"], "verdict": verdict,
    }  # fmt: skip


def _label(row: Mapping[str, Any]) -> str:
    if row["kind"] == "single":
        return f"layer {row['layer']}, feature {row['features'][0]}, {row['place']}"
    where = "" if row["layer"] < 0 else f" of layer {row['layer']}"
    features = json.dumps(row["features"]) if row["features"] else ""
    return f"{row['kind']}{where} {features} {row['place']}".strip()
