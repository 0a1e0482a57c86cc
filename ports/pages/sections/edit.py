"""The section of edits: do scaled neurons make it answer better, and at what price elsewhere?"""

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, head, typed, with_interval
from causeway.ports.pages.workdir import Result
from causeway.ports.results.edit_files import ABOUT, TABLE, price_chart

DRAWN = 30
HEADINGS = {
    "told": "neurons, scaled by", "set": "measured on", "effect": "change", "low": "low", "high": "high", "q": "q",
    "accuracy_before": "accuracy before", "accuracy_after": "after", "prompts": "prompts",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway edit, {result.folder}", result.about
    path = result.folder / TABLE
    if not about or not path.exists():
        return Section(title, anchor, [Missing(f"{ABOUT} is not there: {result.missing}.")], lead)
    rows = [{**row, "told": _told(row)} for row in pq.read_table(path).to_pylist()]
    chosen = about["chosen"]
    blocks: list[Block] = [
        Prose(f"Chosen of {about['settings']} settings, on prompts that do not say what it is worth: {_told(chosen)}."),
        *(Prose(text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")) for text in about["verdict"]),
        Cards([_card(name, one) for name, one in about["sets"].items()]),
        _held(rows, chosen["setting"]),
    ]
    price = price_chart(rows, chosen["setting"])
    blocks.append(price or Prose("Nothing unrelated was measured, so that the price is not known (--unrelated, "
                                 "--unrelated_data).", "note"))  # fmt: skip
    kinds: dict[str, type] = dict.fromkeys(HEADINGS, float) | {"told": str, "set": str}
    blocks.append(DataTable(
        "settings", "Settings in numbers", "Log odds of the right answer in nats, loss in nats a token; edited less as "
        "it stands, with 95 % intervals.", typed(rows, **kinds), HEADINGS, file=str(path),
    ))  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _told(setting: Mapping[str, Any]) -> str:
    pairs = zip(setting["neurons"], setting["factors"], strict=True)
    return ", ".join(f"{neuron} \N{MULTIPLICATION SIGN} {factor:g}" for neuron, factor in pairs)


def _card(name: str, one: Mapping[str, Any]) -> Card:
    """What the chosen setting does to a set."""
    before, after = one.get("accuracy_before"), one.get("accuracy_after")
    told = "nats" if before is None else f"accuracy {before:.0%} to {after:.0%}"
    size = with_interval(one["effect"], one["low"], one["high"], "+.2g")
    return Card(name.replace("_", " "), size, f"{told}, {one['prompts']} prompts")


def _held(rows: list[dict[str, Any]], chosen: int) -> Block:
    kinds = ("chosen", "others")
    drawn = [
        {"label": row["told"], "kind": kinds[row["setting"] != chosen], "value": row["effect"], "low": row["low"],
         "high": row["high"]}
        for row in rows if row["set"] == "held_out"
    ]  # fmt: skip
    drawn.sort(key=lambda row: (row["kind"], -(row["value"] or 0.0)))
    return Chart(
        "worth", "What settings are worth", "Change of the log odds of the right answer (nats) on held-out prompts, "
        f"with 95 % intervals.{head(drawn, DRAWN, 'settings')}",
        intervals("change of log odds (nats)", 0.0, kinds), typed(drawn[:DRAWN], **INTERVALS),
    )  # fmt: skip
