"""The section of a screen: which features differ between two groups of prompts, by how much, and in which layers."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.screen.table import METADATA_KEY
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.counts import counts_by_layer
from causeway.ports.pages.charts.dumbbells import dumbbells
from causeway.ports.pages.charts.theme import GREEN, GREY
from causeway.ports.pages.charts.volcano import volcano
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Facts, Prose, Section
from causeway.ports.pages.workdir import Result

STRONGEST, POINTS, ALPHA = 20, 3_000, 0.05
KINDS, COLOURS = ("different", "not different"), (GREEN, GREY)


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    path = result.folder / "screen.parquet"
    table = read_parquet(path)
    reading = json.loads(table.schema.metadata[METADATA_KEY])
    suffix = "_stratified" if "q_stratified" in table.column_names else ""
    rows = _ordered(table, suffix)
    first, second = reading["groups"]
    different = rows["verdict"].to_pylist().count(KINDS[0])
    counts = [pc.max(table[f"n_{group}"]).as_py() for group in (first, second)]
    blocks: list[Block] = [
        Cards([
            Card("features that vary", str(rows.num_rows), f"of {table.num_rows} in all layers"),
            Card("different", str(different), f"q < {ALPHA}"),
            Card("prompts", str(sum(counts)), f"{counts[0]} {first}, {counts[1]} {second}"),
        ]),
        *_how(reading, suffix),
        *(_charts(rows, first, second) if rows.num_rows else [Prose("No feature is ever active.", "note")]),
        DataTable("features", "Features by how far the groups lie apart", f"Largest |d| first; means and active "
                  f"values in the dictionary's own scale. d: {reading['d']}.", rows, _headings(first, second),
                  file=str(path)),
    ]  # fmt: skip
    return Section(title, anchor, blocks, f"causeway screen, {result.folder}")


def _ordered(table: pa.Table, suffix: str) -> pa.Table:
    """Features that vary, by |d|, with the comparison that counts as d and q, a verdict and a label."""
    if suffix:
        kept = [name for name in table.column_names if name not in ("d", "q", "p")]
        table = table.select(kept).rename_columns([name.removesuffix(suffix) for name in kept])
    rows = table.filter(pc.and_(pc.is_valid(table["q"]), pc.is_valid(table["d"])))
    rows = rows.take(np.argsort(-np.abs(rows["d"].to_numpy()), kind="stable"))
    verdicts = [KINDS[q >= ALPHA] for q in rows["q"].to_pylist()]
    labels = [f"{layer}/{f}" for layer, f in zip(rows["layer"].to_pylist(), rows["feature"].to_pylist(), strict=True)]
    rows = rows.append_column("verdict", pa.array(verdicts, pa.string()))
    return rows.append_column("label", pa.array(labels, pa.string()))


HOW = (
    "Each feature's values in the two groups of prompts are compared. d is the difference of the means in pooled "
    "standard deviations; it describes these prompts. q is the false discovery rate over all features: of those "
    "with q at or below 0.05, at most one in twenty is expected to differ by chance."
)


def _how(reading: Mapping[str, Any], suffix: str) -> list[Block]:
    """How the numbers came about, and how they are to be read."""
    within = " Prompts are compared within strata, so that what a stratum says of them makes no difference."
    return [Prose(HOW + (within if suffix else "")), Facts("How the numbers are to be read", reading)]


def _charts(rows: pa.Table, first: str, second: str) -> list[Block]:
    unit, drawn = f"d, {second} minus {first} (pooled standard deviations)", rows.slice(0, POINTS)
    left = f" {rows.num_rows - POINTS} of the smallest are left out." if rows.num_rows > POINTS else ""
    return [
        Chart(
            "means", f"Mean values in {first} and {second} prompts",
            f"The {min(STRONGEST, rows.num_rows)} features that differ most, as layer/feature: the mean value in each "
            "group, zeros included, in the dictionary's scale.",
            dumbbells([first, second], "mean feature value"), _means(rows.slice(0, STRONGEST), first, second),
        ),
        Chart(
            "volcano", "All features",
            f"A point a feature: {unit}, and q, smaller upwards. Dashed: q = {ALPHA}.{left}",
            volcano("d", unit, ALPHA, KINDS, COLOURS, ("layer", "feature")),
            drawn.select(["layer", "feature", "d", "q", "verdict"]),
        ),
        Chart(
            "layers", "Features by layer",
            f"How many features vary in each layer, and how many of them have q < {ALPHA} (number of features).",
            counts_by_layer(KINDS, COLOURS), rows.select(["layer", "feature", "verdict"]),
        ),
    ]  # fmt: skip


def _means(rows: pa.Table, first: str, second: str) -> pa.Table:
    """A row for each feature in each group."""
    found = [
        {"label": row["label"], "group": group, "value": row[f"mean_{group}"], "d": row["d"], "q": row["q"]}
        for row in rows.to_pylist()
        for group in (first, second)
    ]
    return pa.Table.from_pylist(found)


def _headings(first: str, second: str) -> dict[str, str]:
    means = {f"mean_{group}": f"mean, {group}" for group in (first, second)}
    shares = {f"active_fraction_{group}": f"share active, {group}" for group in (first, second)}
    return {"layer": "layer", "feature": "feature", "d": "d", "q": "q", **means, **shares, "verdict": "verdict"}
