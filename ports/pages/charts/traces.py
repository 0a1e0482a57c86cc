"""A feature's value at every token that the model writes, a line an arm: small charts beside each other."""

from typing import Any

import altair as alt

from causeway.ports.pages.section import TABLE

COLUMNS = 2


def traces(unit: str) -> Any:
    """The chart of a table of place, label, arm, step and value; small charts stand in order of place.

    Args:
        unit: of the values, for the axis.
    """
    line = (
        alt.Chart(alt.NamedData(TABLE))
        .mark_line(point=True, opacity=0.85)
        .encode(
            alt.X("step:O", title="token (0: the last of the prompt)", axis=alt.Axis(labelAngle=0)),
            alt.Y("value:Q", title=unit),
            color=alt.Color("arm:N", sort=None, title=None),
            tooltip=["label:N", "arm:N", "step:O", alt.Tooltip("value:Q", format=".4g"), "response:N"],
        )
        .properties(width=270, height=140)
    )
    order = alt.EncodingSortField("place", op="min")
    small = line.facet(facet=alt.Facet("label:N", sort=order, title=None), columns=COLUMNS)
    return small.resolve_axis(x="independent", y="independent").resolve_scale(y="independent")
