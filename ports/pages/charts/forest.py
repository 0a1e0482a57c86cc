"""Effects with their intervals, one a line, strongest first."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import GREEN, GREY, ORANGE, WIDTH
from causeway.ports.pages.section import TABLE

VERDICTS = ("causal", "not causal", "cannot tell")
COLOURS = (GREEN, GREY, ORANGE)


def forest(unit: str, controls: bool) -> Any:
    """The chart of a table of label, effect, low, high, verdict, q and detail; with controls, of envelope too.

    Args:
        unit: of the effects, for the axis. controls: draw how far random features go, at envelope on both sides of 0.
    """
    lines = alt.Y("label:N", sort=None, title=None)
    colour = alt.Color("verdict:N", title=None, scale=alt.Scale(domain=list(VERDICTS), range=list(COLOURS)))
    about = [
        "label:N", "detail:N", alt.Tooltip("effect:Q", format="+.4g"), alt.Tooltip("low:Q", format="+.4g"),
        alt.Tooltip("high:Q", format="+.4g"), alt.Tooltip("q:Q", format=".2g"), "verdict:N",
    ]  # fmt: skip
    base = alt.Chart(alt.NamedData(TABLE))
    effect = alt.X("effect:Q", title=unit)
    parts = [alt.Chart(alt.Data(values=[{}])).mark_rule(color=GREY).encode(x=alt.datum(0))]
    if controls:
        bound = base.mark_tick(color=GREY, thickness=1.5, opacity=0.9).encode(y=lines)
        parts += [bound.transform_calculate(end=f"{sign}datum.envelope").encode(x="end:Q") for sign in ("", "-")]
    parts.append(base.mark_rule(strokeWidth=2).encode(lines, alt.X("low:Q", title=unit), x2="high:Q", color=colour))
    parts.append(base.mark_circle(size=55, opacity=1).encode(lines, effect, color=colour, tooltip=about))
    return alt.layer(*parts).properties(width=WIDTH - 200, height=alt.Step(20))
