"""What `direction` writes beside the directions: each prompt's projections, and a picture of them.

projections.parquet        a row a prompt: id, split, side, group, label, margin, and a column a direction
figures/projections.png    histograms of the prompts that were judged on, right and wrong apart
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from causeway.engine.sweep.table import write_table
from causeway.ports.pages.charts.class_histograms import class_histograms
from causeway.ports.pages.figures import write_figure
from causeway.ports.pages.section import Chart

TABLE, FIGURE = "projections.parquet", "figures/projections.png"


def write_projections(folder: Path, table: pa.Table) -> None:
    """Writes the table whole into a folder that is there."""
    write_table(folder / TABLE, table)


def draw_projections(
    folder: Path,
    projections: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    titles: Mapping[str, str],
    classes: tuple[str, str],
) -> None:
    """A panel a direction, of the projections of two classes.

    Args:
        projections: of the first class and of the second, by the direction's name.
        titles: of the panels. classes: what the two are called.
    """
    write_figure(folder / FIGURE, projections_chart(projections, titles, classes))


def projections_chart(
    projections: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    titles: Mapping[str, str],
    classes: tuple[str, str],
) -> Chart:
    """The chart of the same."""
    counts = [max(len(pair[place]) for pair in projections.values()) for place in (0, 1)]
    kinds = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True)]
    rows = [
        {"panel": titles[name], "value": float(value), "kind": kind}
        for name, pair in projections.items()
        for values, kind in zip(pair, kinds, strict=True)
        for value in values
    ]
    # The second class is the right answers, or the clearer ones: it stands first in the legend.
    kinds.reverse()
    table = pa.Table.from_pylist(
        rows, pa.schema([("panel", pa.string()), ("value", pa.float64()), ("kind", pa.string())])
    )
    caption = "Prompts by how far their stream points along a direction; those that the direction was not fitted on."
    panels = [titles[name] for name in projections]
    return Chart("projections", "Projections of prompts", caption, class_histograms(panels, kinds, "projection"), table)
