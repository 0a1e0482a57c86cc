"""`cw.save_heat_map`: a table of activation patching as a picture, layers upward and tokens to the right."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.lens.activation_patching import PatchingTable
from causeway.ports.pages.charts.heat_map import heat_map
from causeway.ports.pages.figures import write_figure
from causeway.ports.pages.section import Chart


def save_heat_map(table: PatchingTable, path: str | Path) -> Path:
    """Draw the share of the clean answer that each place brings back: white 0, red 1, blue below 0.

    Args:
        table: what `activation_patching` returns.
        path: a .png, .pdf or .svg file; an earlier one is replaced.

    Raises:
        ValueError: no such table, or another kind of file.
    """
    if not isinstance(table, PatchingTable):
        raise ValueError(f"table: got {scalars.shown(table)}; needs what cw.activation_patching returns")
    if not isinstance(path, str | Path) or Path(path).suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"path: got {scalars.shown(path)}; needs the name of a .png, .pdf or .svg file")
    path = Path(path)
    write_figure(path, heat_map_chart(table))
    return path


def heat_map_chart(table: PatchingTable) -> Chart:
    """The chart of the same."""
    columns = len(table.positions)
    heads = table.values.shape[2] if table.values.ndim == 3 else 0
    shares = np.moveaxis(table.recovered, 2, 1).reshape(-1, columns) if heads else table.recovered
    labels = [f"{n}.{h}" for n in table.layers for h in range(heads)] if heads else list(map(str, table.layers))
    pairs = zip(table.tokens, table.corrupted_tokens, strict=True)
    names = [clean if clean == other else f"{clean} / {other}" for clean, other in pairs]
    places = list(map(str, table.positions))
    cells = {
        "column": pa.array([place for _ in labels for place in places], pa.string()),
        "row": pa.array([label for label in labels for _ in places], pa.string()),
        "value": pa.array(np.asarray(shares, np.float64).ravel()),
        "detail": pa.array([name for _ in labels for name in names], pa.string()),
    }
    titles = ("token (clean / corrupted)", "layer.head" if heads else "layer")
    chart = heat_map(places, labels[::-1], titles, "share", 1.0, names)
    told = f"{table.stream}: share of the clean answer brought back"
    caption = "White: nothing is brought back; red: all of it, 1; blue: the answer moves the other way."
    return Chart("heat_map", told, caption, chart.properties(title=told), pa.table(cells))
