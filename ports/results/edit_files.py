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

TABLE, ABOUT, FIGURE = "edits.parquet", "edit.json", "figures/price.png"
FILES = (TABLE, ABOUT, FIGURE)


def remove_edits(folder: Path) -> None:
    """Removes earlier results, the summary first."""
    for name in (ABOUT, TABLE, FIGURE):
        durable.remove(folder / name)


def write_edits(folder: Path, table: pa.Table, summary: Mapping[str, Any]) -> None:
    """Write all files into a folder that is there; no figure where there is no price."""
    write_table(folder / TABLE, table)
    _draw(folder / FIGURE, table.to_pylist(), summary["chosen"]["setting"])
    content = scalars.without_nan(dict(summary))
    durable.write_bytes(folder / ABOUT, (json.dumps(content, indent=1) + "\n").encode())


def _draw(path: Path, rows: Sequence[Mapping[str, Any]], chosen: int) -> None:
    """A panel for each set that tells the price; a point is a setting, the chosen one marked."""
    from matplotlib.figure import Figure

    effects = {name: [row for row in rows if row["set"] == name] for name in dict.fromkeys(row["set"] for row in rows)}
    prices = [name for name in effects if name.startswith("unrelated")]
    if not prices:
        return
    figure = Figure(figsize=(0.4 + 4 * len(prices), 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(prices), squeeze=False)[0], prices, strict=True):
        across, up = ([row["effect"] for row in effects[own]] for own in (name, "held_out"))
        axes.scatter(across, up, s=9, color="0.5")
        axes.scatter(across[chosen], up[chosen], s=50, facecolors="none", edgecolors="tab:red", label="chosen")
        axes.axhline(0, color="black", linewidth=0.8)
        axes.axvline(0, color="black", linewidth=0.8)
        unit = "log odds (nats)" if effects[name][0]["outcome"] == "log_odds" else "loss (nats a token)"
        axes.set(xlabel=f"{name.replace('_', ' ')}: change of {unit}", ylabel="held out: change of log odds (nats)")
        axes.legend()
    durable.make_folder(path.parent)
    with durable.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
