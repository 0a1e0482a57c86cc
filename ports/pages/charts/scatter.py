"""Two numbers of each of some things against one another."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import GREY, WIDTH
from causeway.ports.pages.section import TABLE


def scatter(
    across: str, across_unit: str, up: str, up_unit: str, kind: str, about: Sequence[str], *, same: bool = False,
    zero: bool = False, kinds: Sequence[str] = (), colours: Sequence[str] = (),
    width: int = WIDTH - 200,
) -> Any:  # fmt: skip
    """The chart of a table of the two columns and a kind.

    Args:
        across, up: columns. across_unit, up_unit: of them, for the axes. kind: the column that colours a point.
        about: further columns that a point tells when it is pointed at. same: draw the line on which both are equal.
        zero: draw lines at 0. kinds, colours: of kinds, none for the page's own.
        width: pixels.
    """
    base = alt.Chart(alt.NamedData(TABLE))
    parts = []
    if zero:
        one = alt.Chart(alt.Data(values=[{}])).mark_rule(color=GREY, strokeDash=[2, 2])
        parts += [one.encode(x=alt.datum(0)), one.encode(y=alt.datum(0))]
    if same:
        parts.append(_diagonal(base, across, up))
    scale = alt.Scale(domain=list(kinds), range=list(colours)) if kinds else alt.Scale()
    numbers = [
        alt.Tooltip(f"{name}:Q", title=title, format=".4g") for name, title in ((across, across_unit), (up, up_unit))
    ]
    parts.append(
        base.mark_circle(size=45, opacity=0.8).encode(
            alt.X(f"{across}:Q", title=across_unit, scale=alt.Scale(zero=False)),
            alt.Y(f"{up}:Q", title=up_unit, scale=alt.Scale(zero=False)),
            color=alt.Color(f"{kind}:N", title=None, scale=scale),
            tooltip=[*(f"{name}:N" for name in about), f"{kind}:N", *numbers],
        )
    )
    return alt.layer(*parts).properties(width=width, height=320)


def _diagonal(base: Any, across: str, up: str) -> Any:
    """Where both are equal, over what both span."""
    ends = base.transform_aggregate(
        least_across=f"min({across})", least_up=f"min({up})", most_across=f"max({across})", most_up=f"max({up})"
    ).transform_calculate(
        from_="max(datum.least_across, datum.least_up)", to_="min(datum.most_across, datum.most_up)"
    )  # fmt: skip
    line = ends.transform_filter("datum.from_ < datum.to_").mark_rule(color=GREY, strokeDash=[4, 4])
    return line.encode(x="from_:Q", y="from_:Q", x2="to_:Q", y2="to_:Q")
