"""All effects of each arm as ticks on a line of their own, so that arms can be held against their controls by eye."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import BLUE, GREY, WIDTH
from causeway.ports.pages.section import TABLE

KINDS = ("tested", "control")


def strips(unit: str) -> Any:
    """The chart of a table of contrast, effect and kind: tested or control.

    Args:
        unit: of the effects, for the axis.
    """
    return (
        alt.Chart(alt.NamedData(TABLE))
        .mark_tick(thickness=1.5, opacity=0.5)
        .encode(
            alt.X("effect:Q", title=unit),
            alt.Y("contrast:N", sort=None, title=None),
            color=alt.Color("kind:N", title=None, scale=alt.Scale(domain=list(KINDS), range=[BLUE, GREY])),
            tooltip=["contrast:N", "layer:Q", "feature:Q", alt.Tooltip("effect:Q", format="+.4g")],
        )
        .properties(width=WIDTH - 160, height=alt.Step(26))
    )
