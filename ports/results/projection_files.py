"""What `direction` writes beside the directions: each prompt's projections, and a picture of them.

projections.parquet        a row a prompt: id, split, side, group, label, margin, and a column a direction
figures/projections.png    histograms of the prompts that were judged on, right and wrong apart
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from causeway.engine.sweep.table import write_table
from causeway.ports.results.figures import new_figure, save_figure

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
    count = len(projections)
    figure, axes = new_figure(1 + 3.4 * count, 3.2, count)
    for axis, (name, pair) in zip(axes if count > 1 else [axes], projections.items(), strict=True):
        bins = min(30, max(8, sum(map(len, pair)) // 4))
        low, high = min(min(p) for p in pair if len(p)), max(max(p) for p in pair if len(p))
        for values, label, colour in zip(pair, classes, ("tab:red", "tab:blue"), strict=True):
            if len(values):
                axis.hist(
                    values, bins=bins, range=(low, high), color=colour, alpha=0.55, label=f"{label} ({len(values)})"
                )
        axis.set(xlabel=_written(f"projection on {name}"), ylabel="prompts")
        axis.set_title(_written(titles[name]), fontsize="medium")
        axis.legend(fontsize="small")
    save_figure(figure, folder / FIGURE)


def _written(text: str) -> str:
    """As it stands: between two dollars matplotlib reads a formula."""
    return text.replace("$", r"\$")
