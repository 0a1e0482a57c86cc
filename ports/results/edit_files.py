"""What `edit` writes.

edits.parquet       a row for each setting and set of prompts or texts: effect, interval, p, q, accuracies
edit.json           the chosen setting, its held-out effect, its price and what follows; written last
figures/price.png   held-out effect against effect on unrelated prompts, or on the loss of unrelated texts
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.pages.charts.panels import panels
from causeway.ports.pages.charts.scatter import scatter
from causeway.ports.pages.charts.theme import GREY, RED
from causeway.ports.pages.figures import write_figure
from causeway.ports.pages.section import Chart

TABLE, ABOUT, FIGURE = "edits.parquet", "edit.json", "figures/price.png"
FILES = (TABLE, ABOUT, FIGURE)
KINDS = ("chosen", "other settings")
UNITS = {"log_odds": "log odds (nats)", "loss": "loss (nats a token)"}


def remove_edits(folder: Path) -> None:
    """Removes earlier results, the summary first."""
    for name in (ABOUT, TABLE, FIGURE):
        durable.remove(folder / name)


def write_edits(folder: Path, table: pa.Table, summary: Mapping[str, Any]) -> None:
    """Write all files into a folder that is there; no figure where there is no price."""
    write_table(folder / TABLE, table)
    if (chart := price_chart(table.to_pylist(), summary["chosen"]["setting"])) is not None:
        write_figure(folder / FIGURE, chart)
    content = scalars.without_nan(dict(summary))
    durable.write_bytes(folder / ABOUT, (json.dumps(content, indent=1) + "\n").encode())


def price_chart(rows: Sequence[Mapping[str, Any]], chosen: int) -> Chart | None:
    """What settings are worth against what they cost elsewhere, a panel for each set that tells the price.

    Args:
        rows: of edits.parquet. chosen: number of the chosen setting.

    Returns:
        None where nothing tells a price.
    """
    held = {row["setting"]: row["effect"] for row in rows if row["set"] == "held_out"}
    prices = [row for row in rows if row["set"].startswith("unrelated") and row["setting"] in held]
    if not prices:
        return None
    drawn = [
        {"panel": row["set"].replace("_", " "), "price": row["effect"], "worth": held[row["setting"]],
         "kind": KINDS[row["setting"] != chosen], "neurons": _told(row)}
        for row in prices
    ]  # fmt: skip
    units = {row["set"].replace("_", " "): UNITS[row["outcome"]] for row in prices}
    made = {
        name: scatter(
            "price", f"elsewhere: change of {unit}", "worth", "held out: change of log odds (nats)", "kind",
            ("neurons",), zero=True, kinds=KINDS, colours=(RED, GREY), width=300,
        )
        for name, unit in units.items()
    }  # fmt: skip
    columns = [(name, pa.string()) for name in ("panel", "kind", "neurons")]
    columns += [(name, pa.float64()) for name in ("price", "worth")]
    return Chart(
        "price",
        "What edits are worth, and what they cost",
        "A point a setting: what it changes on held-out prompts (upwards is better), against what it changes on "
        "unrelated prompts or texts (nearer to 0 is cheaper). Red: the chosen setting.",
        panels(made),
        pa.Table.from_pylist(drawn, pa.schema(columns)),
    )


def _told(row: Mapping[str, Any]) -> str:
    """The neurons of a setting and what they are scaled by."""
    pairs = zip(row["neurons"], row["factors"], strict=True)
    return ", ".join(f"{neuron} x{factor:g}" for neuron, factor in pairs)
