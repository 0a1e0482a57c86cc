"""How often values fall where: a small histogram a kind, with a line at a bound."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import ORANGE, WIDTH
from causeway.ports.pages.section import TABLE

COLUMNS = 2


def histograms(value: str, unit: str, kind: str, bound: str = "") -> Any:
    """The chart of a table with a row a value.

    Args:
        value: the column counted. unit: of it, for the axis. kind: the column that divides the rows into histograms.
        bound: a column with the same number in all rows of a kind, drawn as a line; "" for none.
    """
    across, up = alt.Bin(maxbins=25), alt.Y("count():Q", title="prompts")
    few = alt.Axis(tickCount=5, labelOverlap="greedy")
    told = [alt.Tooltip(f"{value}:Q", bin=across, title=unit), alt.Tooltip("count():Q", title="prompts")]
    bars = alt.Chart().mark_bar().encode(alt.X(f"{value}:Q", bin=across, title=unit, axis=few), up, tooltip=told)
    line = alt.Chart().mark_rule(color=ORANGE, strokeWidth=2).encode(x=f"mean({bound}):Q")
    parts = [bars, line] if bound else [bars]
    small = alt.layer(*parts, data=alt.NamedData(TABLE)).properties(width=WIDTH // COLUMNS - 40, height=160)
    many = small.facet(facet=alt.Facet(f"{kind}:N", sort=None, title=None), columns=COLUMNS)
    return many.resolve_scale(y="independent").resolve_axis(x="independent", y="independent")
