"""The section of `features`: how many features prompts switch on in each layer, and which ones most often."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.ports.pages.charts.by_layer import by_layer
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Section
from causeway.ports.pages.workdir import Result, read_json

NUMBERS = ("active_a_token", "active_a_prompt", "ever_active", "features")
HEADINGS = {"set": "behaviour, split", "layer": "layer", "feature": "feature", "frequency": "share of prompts"}


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead = f"causeway features, {result.folder}"
    sets = [read_json(path) for path in sorted(result.folder.glob("*_summary.json"))]
    sets = [found for found in sets if found.get("layers")]
    if not sets:
        return Section(
            title, anchor, [Missing(f"No features yet: {result.missing or 'no summary can be read'}.")], lead
        )
    about = sets[0]
    blocks: list[Block] = [
        Cards([
            Card("prompts", str(sum(found["prompts"] for found in sets)), f"{len(sets)} behaviours and splits"),
            Card("tokens looked at", str(sum(found["samples"] for found in sets)), f"positions: {about['positions']}"),
            Card("features a layer", str(about["layers"][0]["features"]), f"{about['kind']}, at {about['stream']}"),
        ]),
        Chart(
            "active", "Active features of a token",
            "The mean number of features that are active at a chosen token, by layer; a line for each behaviour and "
            "split.", by_layer("active_a_token", "active features a token", "set"), _layers(sets),
        ),
        DataTable(
            "frequent", "The most frequent features",
            "The share of prompts in which a feature is active anywhere.", _frequent(sets), HEADINGS,
        ),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _name(found: Mapping[str, Any]) -> str:
    return f"{found['behaviour']}, {found['split']}"


def _layers(sets: Sequence[Mapping[str, Any]]) -> pa.Table:
    rows = [
        {"set": _name(found), "layer": layer["layer"], **{name: layer[name] for name in NUMBERS}}
        for found in sets
        for layer in found["layers"]
    ]
    return pa.Table.from_pylist(rows)


def _frequent(sets: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The ten of each layer that the command lists, the most frequent first."""
    rows = [
        {"set": _name(found), "layer": layer["layer"], **feature}
        for found in sets
        for layer in found["layers"]
        for feature in layer["most_frequent"]
    ]
    kinds = pa.schema(
        [("set", pa.string()), ("layer", pa.int32()), ("feature", pa.int32()), ("frequency", pa.float64())]
    )
    return pa.Table.from_pylist(rows, kinds).sort_by([("frequency", "descending")])
