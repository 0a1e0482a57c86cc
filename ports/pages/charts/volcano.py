"""Every tested effect against how surely it is one: far out and high up are large and sure."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.forest import COLOURS, VERDICTS
from causeway.ports.pages.charts.theme import GREY, WIDTH
from causeway.ports.pages.section import TABLE

# What no axis of powers of ten can show is drawn at its edge.
SMALLEST = 1e-16


def volcano(unit: str, alpha: float) -> Any:
    """The chart of a table of layer, feature, contrast, effect, q and verdict.

    Args:
        unit: of the effects, for the axis. alpha: the bound on q, drawn as a line.
    """
    base = alt.Chart(alt.NamedData(TABLE)).transform_calculate(drawn=f"max(datum.q, {SMALLEST})")
    powers = alt.Axis(format="~g", values=[10.0**-power for power in range(17)])
    sure = alt.Y("drawn:Q", title="q (false discovery rate)", scale=alt.Scale(type="log", reverse=True), axis=powers)
    colour = alt.Color("verdict:N", title=None, scale=alt.Scale(domain=list(VERDICTS), range=list(COLOURS)))
    about = [
        "layer:Q", "feature:Q", "contrast:N", alt.Tooltip("effect:Q", format="+.4g"), alt.Tooltip("q:Q", format=".2g"),
        "verdict:N",
    ]  # fmt: skip
    points = base.mark_circle(size=35, opacity=0.75).encode(
        alt.X("effect:Q", title=unit), sure, color=colour, tooltip=about
    )
    bound = alt.Chart(alt.Data(values=[{}])).mark_rule(color=GREY, strokeDash=[4, 4]).encode(y=alt.datum(alpha))
    return alt.layer(bound, points).properties(width=WIDTH, height=300)
