"""Values of some things in two groups: two points a line, joined."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import BLUE, GREY, RED, WIDTH
from causeway.ports.pages.section import TABLE


def dumbbells(groups: Sequence[str], unit: str) -> Any:
    """The chart of a table of label, group and value, a row for each thing in each group.

    Args:
        groups: the two, in the order of the legend. unit: of the values, for the axis.
    """
    base = alt.Chart(alt.NamedData(TABLE)).encode(alt.Y("label:N", sort=None, title=None), alt.X("value:Q", title=unit))
    joint = base.mark_line(color=GREY, strokeWidth=2).encode(detail="label:N")
    scale = alt.Scale(domain=list(groups), range=[BLUE, RED])
    points = base.mark_circle(size=60, opacity=1).encode(
        color=alt.Color("group:N", title=None, scale=scale),
        tooltip=["label:N", "group:N", alt.Tooltip("value:Q", format=".4g")],
    )
    return alt.layer(joint, points).properties(width=WIDTH - 120, height=alt.Step(20))
