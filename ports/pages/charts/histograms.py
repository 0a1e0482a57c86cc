"""How often values fall where: a small histogram a kind, with a line at a bound."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import ORANGE, WIDTH
from causeway.ports.pages.section import TABLE

COLUMNS = 2
# Counts are whole numbers.
WHOLE = "datum.value % 1 ? '' : datum.label"


def histograms(value: str, unit: str, kind: str, bound: str = "") -> Any:
    """The chart of a table with a row a value.

    Args:
        value: the column counted. unit: of it, for the axis. kind: the column that divides the rows into histograms.
        bound: a column with the same number in all rows of a kind, drawn as a line; "" for none.
    """
    up = alt.Y("count():Q", title="prompts", axis=alt.Axis(labelExpr=WHOLE))
    across = alt.X("start:Q", bin="binned", title=unit, axis=alt.Axis(tickCount=5))
    told = [
        alt.Tooltip("start:Q", title="from"),
        alt.Tooltip("end:Q", title="to"),
        alt.Tooltip("count():Q", title="prompts"),
    ]
    binned = alt.Chart().transform_bin(["start", "end"], field=value, bin=alt.Bin(maxbins=25))
    bars = binned.mark_bar().encode(across, up, x2="end:Q", tooltip=told)
    line = alt.Chart().mark_rule(color=ORANGE, strokeWidth=2).encode(x=f"mean({bound}):Q")
    parts = [bars, line] if bound else [bars]
    small = alt.layer(*parts, data=alt.NamedData(TABLE)).properties(width=WIDTH // COLUMNS - 40, height=160)
    many = small.facet(facet=alt.Facet(f"{kind}:N", sort=None, title=None), columns=COLUMNS)
    return many.resolve_scale(y="independent").resolve_axis(x="independent", y="independent")
