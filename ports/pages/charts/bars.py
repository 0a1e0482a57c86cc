"""One number of each of some things, as horizontal bars in the order of the table."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import WIDTH
from causeway.ports.pages.section import TABLE


def bars(label: str, value: str, unit: str) -> Any:
    """The chart of a table.

    Args:
        label, value: columns. unit: of the value, for the axis.
    """
    return (
        alt.Chart(alt.NamedData(TABLE))
        .mark_bar()
        .encode(
            alt.Y(f"{label}:N", sort=None, title=None),
            alt.X(f"{value}:Q", title=unit),
            tooltip=[f"{label}:N", alt.Tooltip(f"{value}:Q", title=unit, format=".4g")],
        )
        .properties(width=WIDTH - 120, height=alt.Step(22))
    )
