"""Figures of results: axes to draw on, and a file that is whole or absent. Their numbers are given to whoever draws."""

import logging
from pathlib import Path
from typing import Any

from causeway.engine.sweep import durable


def new_figure(width: float, height: float = 3.6, panels: int = 1) -> tuple[Any, Any]:
    """A figure on a canvas of its own, with no window system and no state shared with a notebook's figures.

    Args:
        width, height: inches. panels: beside each other, on one axes each.

    Returns:
        The figure, and its axes: one, or a list where there are several panels.
    """
    # Its reports of font caches would come between a driver's own lines.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, panels, place) for place in range(1, panels + 1)]
    return figure, axes if panels > 1 else axes[0]


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure as PNG, replacing an earlier one."""
    durable.make_folder(path.parent)
    with durable.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
