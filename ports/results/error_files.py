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
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.figures import write_figure
from causeway.ports.pages.section import Chart

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
    """Areas of neurons where they were chosen, and held out with their intervals, as a picture.

    Args:
        names: of the neurons, the best first. chosen: areas where chosen. judged: (area, low, high) held out; ends may
            be NaN.
    """
    write_figure(folder / FIGURE, areas_chart(names, chosen, judged))


def areas_chart(names: Sequence[str], chosen: Sequence[float], judged: Sequence[tuple[float, float, float]]) -> Chart:
    """The chart of the same."""
    kinds = ("held out", "where chosen")
    rows = []
    for name, first, (area, low, high) in zip(names, chosen, judged, strict=True):
        rows.append({"label": name, "kind": kinds[0], "value": area, "low": low, "high": high})
        rows.append({"label": name, "kind": kinds[1], "value": first, "low": None, "high": None})
    columns = [(name, pa.string()) for name in ("label", "kind")]
    columns += [(name, pa.float64()) for name in ("value", "low", "high")]
    return Chart(
        "areas",
        "Neurons that tell wrong answers from right ones",
        "AUC of right against wrong answers, by layer:neuron: 0.5 by chance, above it where the neuron is larger on "
        "right answers. Where chosen it is too good, held out it is fair, with a 95 % interval.",
        intervals("AUC of right against wrong answers", 0.5, kinds, beside=True),
        pa.Table.from_pylist(rows, pa.schema(columns)),
    )
