"""How many features of each layer there are of each kind, as stacked bars."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import WIDTH
from causeway.ports.pages.section import TABLE


def counts_by_layer(kinds: Sequence[str], colours: Sequence[str], column: str = "verdict") -> Any:
    """The chart of a table with a row a feature: layer, and a column that says of which kind it is.

    Args:
        kinds: in the order in which they are stacked, from below. colours: of each. column: of the kind.
    """
    scale = alt.Scale(domain=list(kinds), range=list(colours))
    return (
        alt.Chart(alt.NamedData(TABLE))
        .mark_bar()
        .encode(
            alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0)),
            alt.Y("count():Q", title="features"),
            color=alt.Color(f"{column}:N", title=None, scale=scale),
            order=alt.Order("rank:Q"),
            tooltip=["layer:O", f"{column}:N", alt.Tooltip("count():Q", title="features")],
        )
        .transform_calculate(rank=f"indexof({list(kinds)}, datum.{column})")
        .properties(width=WIDTH, height=200)
    )
