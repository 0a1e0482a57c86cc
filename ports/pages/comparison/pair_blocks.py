"""The parts of a page that compare two results: how they were made, and what they measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.report.agreement import NO_INTERVAL, VERDICTS, Agreement, agreement
from causeway.engine.sweep.differences import PARTS, differing_fields
from causeway.ports.pages.charts.agreement import agreement as agreement_chart
from causeway.ports.pages.charts.theme import BLUE, GREEN, ORANGE, RED
from causeway.ports.pages.comparison.joins import Join, joined
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Prose
from causeway.ports.pages.workdir import Result

POINTS = 2_000
COLOURS = (RED, ORANGE, GREEN, BLUE)
HOW = (
    "A point is one thing that both measured: across its value in the first folder, up that in the second. On the "
    "dashed line they are equal. Where each lies in the other's interval, the two say the same as far as either can "
    "tell; that is no test of the difference."
)


def differences_block(first: Result, second: Result) -> Block:
    """Field by field, in what the plans differ; of results without plans the flags, and of both the versions."""
    found = differing_fields(_made(first), _made(second))
    if not found:
        return Prose("Both were made with the same settings, inputs and versions, as far as they are recorded.")
    rows = {
        "field": [_plain(one.field) for one in found],
        "first": [one.before for one in found],
        "second": [one.now for one in found],
    }
    table = pa.table({name: pa.array(texts, pa.string()) for name, texts in rows.items()})
    told = "Settings, sha256 of what went in, and versions; of what does not stand here nothing differs."
    return DataTable("differences", "In what they were made differently", told, table, shown=40)


def joined_blocks(join: Join, first: Result, second: Result) -> list[Block]:
    """What both measured, a chart and a table a kind of rows."""
    rows, first_alone, second_alone = joined(join, first, second)
    kinds = rows[join.keys[0]].unique().to_pylist()
    blocks: list[Block] = [
        Cards([Card("measured by both", str(rows.num_rows), "joined by " + ", ".join(join.keys)),
               Card("by the first alone", str(first_alone)), Card("by the second alone", str(second_alone))]),
    ]  # fmt: skip
    if not rows.num_rows:
        return [*blocks, Prose("The two measured nothing in common.", "note")]
    blocks.append(Prose(HOW))
    for place, kind in enumerate(kinds):
        of_kind = rows.filter(pc.equal(rows[join.keys[0]], kind))
        blocks += _kind_blocks(of_kind, join, str(kind), f"{place}", join.unit(str(kind), first.about))
    return blocks


def _kind_blocks(rows: pa.Table, join: Join, kind: str, name: str, unit: str) -> list[Block]:
    values = {side: rows[side].to_numpy() for side in ("first", "second")}
    if not any(side.any() for side in values.values()):
        return [Prose(f"{kind}: every value is 0 in both.", "note")]
    said = agreement(values["first"], values["second"], _interval(rows, "first"), _interval(rows, "second"))
    rows = rows.append_column("difference", pa.array(said.difference))
    rows = rows.append_column("verdict", pa.array([VERDICTS[number] for number in said.verdict], pa.string()))
    order = np.argsort(-np.abs(said.difference), kind="stable")
    headings = {key: key for key in join.keys[1:]} | {
        "first": "first", "second": "second", "difference": "second less first", "verdict": "verdict",
    }  # fmt: skip
    return [
        Prose(f"{kind}: {_told(said)}"),
        _chart(rows, said, join, kind, name, unit),
        DataTable(f"table_{name}", f"Largest differences of {kind}", f"The largest first; values are {unit}.",
                  rows.take(order), headings),
    ]  # fmt: skip


def _told(said: Agreement) -> str:
    """How far they agree, in a sentence."""
    parts = [f"{said.same_sign} of {said.signed} pairs that are not 0 have the same sign"]
    judged = int((said.verdict != NO_INTERVAL).sum())
    if judged:
        each = int((said.verdict == NO_INTERVAL - 1).sum())
        parts.append(f"in {each} of {judged} pairs with intervals each lies in the other's")
    if np.isfinite(said.spearman):
        parts.append(f"the rank correlation is {said.spearman:.2f}")
    return "; ".join(parts) + "."


def _chart(rows: pa.Table, said: Agreement, join: Join, kind: str, name: str, unit: str) -> Chart:
    size = np.maximum(np.abs(rows["first"].to_numpy()), np.abs(rows["second"].to_numpy()))
    drawn = rows.take(np.sort(np.argsort(-size, kind="stable")[:POINTS]))
    left = f" {rows.num_rows - POINTS} of the smallest are left out." if rows.num_rows > POINTS else ""
    known = bool((said.verdict != NO_INTERVAL).any())
    both = np.concatenate([drawn["first"].to_numpy(), drawn["second"].to_numpy()])
    bars = " Lines are the intervals of either, cut at the edge." if known else ""
    return Chart(
        f"agreement_{name}", f"{kind} in both", f"Across the first, up the second: {unit}.{bars}{left}",
        agreement_chart(f"first: {unit}", f"second: {unit}", (float(both.min()), float(both.max())), known, VERDICTS,
                        COLOURS, join.keys[1:]),
        drawn,
    )  # fmt: skip


def _interval(rows: pa.Table, side: str) -> np.ndarray:
    """Low and high [n, 2]; NaN where there is none."""
    ends = [pc.fill_null(rows[f"{side}_{end}"], float("nan")).to_numpy() for end in ("low", "high")]
    return np.stack(ends, axis=1)


def _made(result: Result) -> Mapping[str, Any]:
    """What decides a result's numbers, and with what it was made."""
    settings = {"config": result.plan.get("config", {}), "parts": result.plan.get("parts", {})} if result.plan else {}
    flags = {} if settings else {"flags": result.about.get("flags", {})}
    return {**settings, **flags, "model": result.model, "made": dict(result.environment)}


def _plain(field: str) -> str:
    """A field as people know it: what a digest is of, a setting without what holds it."""
    if field.startswith("parts."):
        return PARTS.get(field.removeprefix("parts."), field)
    return field.removeprefix("config.").removeprefix("settings.")
