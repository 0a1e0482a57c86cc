"""Every tested effect against how surely it is one: far out and high up are large and sure."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import GREY, WIDTH
from causeway.ports.pages.section import TABLE

# What no axis of powers of ten can show is drawn at its edge.
SMALLEST = 1e-16


def volcano(
    effect: str, unit: str, alpha: float, kinds: Sequence[str], colours: Sequence[str], about: Sequence[str]
) -> Any:
    """The chart of a table of q, verdict, and the columns that are named.

    Args:
        effect: the column drawn across. unit: of it, for the axis. alpha: the bound on q, drawn as a line.
        kinds: of verdicts. colours: of each. about: further columns that a point tells when it is pointed at.
    """
    base = alt.Chart(alt.NamedData(TABLE)).transform_calculate(drawn=f"max(datum.q, {SMALLEST})")
    powers = alt.Axis(format="~g", values=[10.0**-power for power in range(17)])
    sure = alt.Y("drawn:Q", title="q (false discovery rate)", scale=alt.Scale(type="log", reverse=True), axis=powers)
    colour = alt.Color("verdict:N", title=None, scale=alt.Scale(domain=list(kinds), range=list(colours)))
    told = [*(f"{name}:N" for name in about), alt.Tooltip(f"{effect}:Q", format="+.4g")]
    told += [alt.Tooltip("q:Q", format=".2g"), "verdict:N"]
    points = base.mark_circle(size=35, opacity=0.75).encode(
        alt.X(f"{effect}:Q", title=unit), sure, color=colour, tooltip=told
    )
    bound = alt.Chart(alt.Data(values=[{}])).mark_rule(color=GREY, strokeDash=[4, 4]).encode(y=alt.datum(alpha))
    return alt.layer(bound, points).properties(width=WIDTH, height=300)
