"""Two measurements of the same things against each other: on the diagonal they are equal."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import GREY
from causeway.ports.pages.section import TABLE

SIDE = 420


def agreement(
    first: str, second: str, reach: tuple[float, float], intervals: bool, kinds: Sequence[str], colours: Sequence[str],
    about: Sequence[str],
) -> Any:  # fmt: skip
    """The chart of a table of first, second, verdict and the columns that are named; with intervals, of their ends too.

    Args:
        first, second: what the axes say, with the unit. reach: the least and the largest of both. intervals: draw
            first_low to first_high and second_low to second_high. kinds: of verdicts. colours: of each. about: columns
            that a point tells when it is pointed at.
    """
    ends = [{"end": end} for end in reach]
    diagonal = alt.Chart(alt.Data(values=ends)).mark_line(color=GREY, strokeDash=[4, 4]).encode(x="end:Q", y="end:Q")
    # One scale for both, of the values: an interval may be far longer, and is cut at the edge.
    margin = 0.05 * (reach[1] - reach[0])
    scale = alt.Scale(domain=[reach[0] - margin, reach[1] + margin], nice=False, zero=False)
    across, up = alt.X("first:Q", title=first, scale=scale), alt.Y("second:Q", title=second, scale=scale)
    colour = alt.Color("verdict:N", title=None, scale=alt.Scale(domain=list(kinds), range=list(colours)))
    told: list[Any] = [*(f"{name}:N" for name in about), "verdict:N"]
    told += [alt.Tooltip(f"{name}:Q", format="+.4g") for name in ("first", "second", "difference")]
    base = alt.Chart(alt.NamedData(TABLE))
    parts = [diagonal]
    if intervals:
        bars = base.mark_rule(opacity=0.35, clip=True)
        parts.append(bars.encode(alt.X("first_low:Q", title=first, scale=scale), up, x2="first_high:Q", color=colour))
        parts.append(
            bars.encode(across, alt.Y("second_low:Q", title=second, scale=scale), y2="second_high:Q", color=colour)
        )
    parts.append(base.mark_circle(size=40, opacity=0.85).encode(across, up, color=colour, tooltip=told))
    return alt.layer(*parts).properties(width=SIDE, height=SIDE)
