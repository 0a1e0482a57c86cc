"""Texts that are written more often, to the right, and less often, to the left: a field of bars each panel."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import BLUE, GREY, RED
from causeway.ports.pages.section import TABLE

KINDS, COLOURS = ("added", "removed", "not sure"), (RED, BLUE, GREY)


def diverging(unit: str) -> Any:
    """The chart of a table of panel, text, value, low, high, q and kind: added, removed or not sure.

    Args:
        unit: of the values, for the axis.
    """
    base = alt.Chart()
    lines = alt.Y("text:N", sort=alt.EncodingSortField("value", op="max", order="descending"), title=None)
    colour = alt.Color("kind:N", title=None, scale=alt.Scale(domain=list(KINDS), range=list(COLOURS)))
    told = ["text:N", "panel:N", alt.Tooltip("value:Q", title=unit, format="+.3g"), "low:Q", "high:Q"]
    told += [alt.Tooltip("q:Q", format=".2g"), "kind:N"]
    bars = base.mark_bar(opacity=0.85).encode(lines, alt.X("value:Q", title=unit), color=colour, tooltip=told)
    spans = base.mark_rule(color=GREY).encode(lines, alt.X("low:Q", title=unit), x2="high:Q")
    panel = alt.layer(bars, spans, data=alt.NamedData(TABLE)).properties(width=230, height=alt.Step(17))
    many = panel.facet(facet=alt.Facet("panel:N", sort=None, title=None), columns=2)
    return many.resolve_scale(y="independent").resolve_axis(x="independent", y="independent")
