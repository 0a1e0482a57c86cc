"""A number of each layer, or step of another count, a line a kind."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import WIDTH
from causeway.ports.pages.section import TABLE


def by_layer(value: str, unit: str, kind: str, across: str = "layer") -> Any:
    """The chart of a table of layer, or what else counts, a value and a kind.

    Args:
        value: the column drawn. unit: of it, for the axis. kind: the column that divides the rows into lines.
        across: the column of whole numbers along the axis.
    """
    return (
        alt.Chart(alt.NamedData(TABLE))
        .mark_line(point=True)
        .encode(
            alt.X(f"{across}:O", title=across, axis=alt.Axis(labelAngle=0)),
            alt.Y(f"{value}:Q", title=unit),
            color=alt.Color(f"{kind}:N", title=None),
            tooltip=[f"{across}:O", f"{kind}:N", alt.Tooltip(f"{value}:Q", title=unit, format=".4g")],
        )
        .properties(width=WIDTH, height=220)
    )
