"""Error analyses on disk.

errors.parquet       a row a neuron: AUC of right against wrong answers where chosen and held out, d, p, q, verdict;
                     the best where chosen first, so that `--neurons` takes the file
examples.jsonl       prompts on which each judged neuron is largest, among wrong and among right answers
groups.parquet       error rates by the values of the prompts' fields
figures/errors.png   AUC where chosen and held out of the neurons judged
errors.json          counts and settings: written last, the folder is whole
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.results.figures import new_figure, save_figure

NEURONS, EXAMPLES, GROUPS, ABOUT = "errors.parquet", "examples.jsonl", "groups.parquet", "errors.json"
FIGURE = "figures/errors.png"
FILES = (NEURONS, EXAMPLES, GROUPS, FIGURE, ABOUT)


def remove_errors(folder: Path) -> None:
    """Removes an earlier analysis, its description first: files of two runs never stand side by side."""
    for name in reversed(FILES):
        durable.remove(folder / name)


def write_errors(
    folder: Path, neurons: pa.Table, examples: Iterable[Mapping[str, Any]], groups: pa.Table, about: Mapping[str, Any]
) -> None:
    """Write all files but the figure into a folder that is there."""
    for name, table in ((NEURONS, neurons), (GROUPS, groups)):
        write_table(folder / name, table)
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in examples)
    durable.write_bytes(folder / EXAMPLES, text.encode())
    content = scalars.without_nan(dict(about))
    durable.write_bytes(folder / ABOUT, (json.dumps(content, indent=1) + "\n").encode())


def draw_areas(
    folder: Path, names: Sequence[str], chosen: Sequence[float], judged: Sequence[tuple[float, float, float]]
) -> None:
    """Areas of neurons where they were chosen, and held out with their intervals.

    Args:
        names: of the neurons, the best first. chosen: areas where chosen. judged: (area, low, high) held out; ends may
            be NaN.
    """
    figure, axes = new_figure(2 + 0.4 * len(names), 4)
    places = range(len(names))
    axes.plot(places, chosen, "x", color="0.5", label="where chosen")
    for place, (area, low, high) in zip(places, judged, strict=True):
        axes.plot([place, place], [low, high], color="tab:blue")
        axes.plot([place], [area], "o", color="tab:blue", label="held out" if place == 0 else None)
    axes.axhline(0.5, color="black", linewidth=1)
    axes.set_xticks(list(places), names, rotation=90)
    axes.set(ylim=(-0.02, 1.02), xlabel="neuron (layer:number)", ylabel="AUC of right against wrong answers")
    axes.legend()
    save_figure(figure, folder / FIGURE)
