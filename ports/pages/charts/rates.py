"""Rates with their intervals, one a line, and the bound that each is held to."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import CATEGORIES, ORANGE, WIDTH
from causeway.ports.pages.section import TABLE


def rates(unit: str) -> Any:
    """The chart of a table of label, measure, rate, low, high and bound (null where there is none).

    Args:
        unit: of the rates, for the axis.
    """
    base = alt.Chart(alt.NamedData(TABLE))
    lines, side = alt.Y("label:N", sort=None, title=None), alt.YOffset("measure:N")
    colour = alt.Color("measure:N", title=None, scale=alt.Scale(range=[one for one in CATEGORIES if one != ORANGE]))
    across = alt.Scale(domain=[0, 1])
    told = ["label:N", "measure:N", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("rate", "low", "high"))]
    spans = base.mark_rule(strokeWidth=2).encode(
        lines, alt.X("low:Q", title=unit, scale=across), x2="high:Q", yOffset=side, color=colour
    )
    points = base.mark_circle(size=60, opacity=1).encode(
        lines, alt.X("rate:Q"), yOffset=side, color=colour, tooltip=told
    )
    bounds = base.mark_tick(color=ORANGE, thickness=3, size=14).encode(lines, alt.X("bound:Q"), yOffset=side)
    return alt.layer(spans, points, bounds).properties(width=WIDTH - 160, height=alt.Step(36, **{"for": "position"}))
