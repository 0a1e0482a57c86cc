"""What was measured against what was predicted, with the line on which both are the same."""

from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import GREY, WIDTH
from causeway.ports.pages.section import TABLE


def predicted(unit: str) -> Any:
    """The chart of a table of label, prompt, edit, predicted and measured.

    Args:
        unit: of both, for the axes.
    """
    base = alt.Chart(alt.NamedData(TABLE))
    across, up = f"predicted change ({unit})", f"measured change ({unit})"
    same = base.mark_line(color=GREY, strokeDash=[4, 4]).encode(
        alt.X("predicted:Q", title=across), alt.Y("predicted:Q", title=up)
    )
    told = ["label:N", "prompt:N", "edit:N", alt.Tooltip("predicted:Q", format="+.4g"),
            alt.Tooltip("measured:Q", format="+.4g")]  # fmt: skip
    points = base.mark_circle(size=45, opacity=0.6).encode(
        alt.X("predicted:Q", title=across), alt.Y("measured:Q", title=up),
        color=alt.Color("edit:N", title=None), tooltip=told,
    )  # fmt: skip
    return alt.layer(same, points).properties(width=WIDTH // 2, height=380)
