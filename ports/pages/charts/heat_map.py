"""Numbers of pairs as a field of colours: blue below 0, red above, the deeper the larger."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import DIVERGING
from causeway.ports.pages.section import TABLE

# Sides of a cell, and how many there are before cells shrink.
CELL, MANY = 24, 24


def heat_map(
    columns: Sequence[str], rows: Sequence[str], titles: tuple[str, str], unit: str, most: float,
    names: Sequence[str] = (), panel: bool = False,
) -> Any:  # fmt: skip
    """The chart of a table of column, row, value and detail, with panels of panel too.

    Args:
        columns, rows: values of the two, in the order in which they stand from the left and from above.
        titles: of the axis along columns, and along rows. unit: of the values.
        most: the size that has the deepest colour; larger ones have it too. names: what columns are called on the
            axis, where several could have one name; none for the columns themselves. panel: a field each panel.
    """
    cell = max(10, CELL * MANY // max(MANY, len(columns), len(rows)))
    named = f"{json.dumps(list(names))}[indexof({json.dumps(list(columns))}, datum.value)]"
    below = alt.Axis(labelAngle=-90, labelExpr=named if names else "datum.label")
    colour = alt.Color(
        "value:Q", title=unit, scale=alt.Scale(domain=[-most, 0, most], range=list(DIVERGING), clamp=True),
        legend=alt.Legend(orient="right", gradientLength=min(140, max(60, cell * len(rows)))),
    )  # fmt: skip
    field = (
        alt.Chart(alt.NamedData(TABLE))
        .mark_rect()
        .encode(
            alt.X("column:N", sort=list(columns), title=titles[0], axis=below),
            alt.Y("row:N", sort=list(rows), title=titles[1]),
            color=colour,
            tooltip=["row:N", "column:N", alt.Tooltip("value:Q", title=unit, format="+.4g"), "detail:N"],
        )
        .properties(width=cell * len(columns), height=cell * len(rows))
    )
    if not panel:
        return field
    across = 2 if cell * len(columns) < 320 else 1
    return field.facet(facet=alt.Facet("panel:N", sort=None, title=None), columns=across)
