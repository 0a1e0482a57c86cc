"""How an outcome changes with the dose of a feature: a small chart a feature, a line a value that it is set to."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import GREY
from causeway.ports.pages.section import TABLE

COLUMNS = 3


def dose_curves(unit: str) -> Any:
    """The chart of a table of place, label, value (a name), dose, effect, low and high; curves stand in order of place.

    Args:
        unit: of the effects, for the axis; short, as axes are.
    """
    base = alt.Chart()
    dose = alt.X("dose:Q", title="dose", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4))
    colour = alt.Color("value:N", title="set to the value of")
    about = ["label:N", "value:N", "dose:Q", alt.Tooltip("effect:Q", format="+.4g"), "low:Q", "high:Q"]
    zero = base.mark_rule(color=GREY, strokeDash=[2, 2]).encode(y=alt.datum(0))
    band = base.mark_area(opacity=0.2).encode(dose, alt.Y("low:Q", title=unit), y2="high:Q", color=colour)
    line = base.mark_line(point=True).encode(dose, alt.Y("effect:Q", title=unit), color=colour, tooltip=about)
    curve = alt.layer(zero, band, line, data=alt.NamedData(TABLE)).properties(width=180, height=130)
    return curve.facet(
        facet=alt.Facet("label:N", sort=alt.EncodingSortField("place", op="min"), title=None), columns=COLUMNS
    )
