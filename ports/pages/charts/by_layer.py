"""A number of each layer, a line a kind."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import WIDTH
from causeway.ports.pages.section import TABLE


def by_layer(value: str, unit: str, kind: str) -> Any:
    """The chart of a table of layer, a value and a kind.

    Args:
        value: the column drawn. unit: of it, for the axis. kind: the column that divides the rows into lines.
    """
    return (
        alt.Chart(alt.NamedData(TABLE))
        .mark_line(point=True)
        .encode(
            alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0)),
            alt.Y(f"{value}:Q", title=unit),
            color=alt.Color(f"{kind}:N", title=None),
            tooltip=["layer:O", f"{kind}:N", alt.Tooltip(f"{value}:Q", title=unit, format=".4g")],
        )
        .properties(width=WIDTH, height=220)
    )
