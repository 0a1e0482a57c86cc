"""A number of each of some things with its interval, one a line, and what the number is held against."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import CATEGORIES, GREY, WIDTH
from causeway.ports.pages.section import TABLE


def intervals(
    unit: str, against: float | None = 0.0, kinds: Sequence[str] = (), colours: Sequence[str] = (),
    beside: bool = False,
) -> Any:  # fmt: skip
    """The chart of a table of label, kind, value, low and high; an interval that is null is not drawn.

    Args:
        unit: of the values, for the axis. against: where a line is drawn, which stands for no effect; None for none.
        kinds: in the order in which they stand on a line; none for that of the table. colours: of each.
        beside: things of one label and several kinds stand beside each other.
    """
    base = alt.Chart(alt.NamedData(TABLE))
    lines: dict[str, Any] = {"y": alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=340))}
    if beside:
        lines["yOffset"] = alt.YOffset("kind:N", sort=list(kinds) or None)
    colour: Any = alt.Color("kind:N", title=None, sort=list(kinds) or None)
    if kinds:
        colour = alt.Color(
            "kind:N", title=None, scale=alt.Scale(domain=list(kinds), range=list(colours or CATEGORIES[: len(kinds)]))
        )
    across = alt.X("value:Q", title=unit, scale=alt.Scale(zero=False))
    told = ["label:N", "kind:N", *(alt.Tooltip(f"{name}:Q", format=".4g") for name in ("value", "low", "high"))]
    parts = []
    if against is not None:
        parts.append(alt.Chart(alt.Data(values=[{}])).mark_rule(color=GREY).encode(x=alt.datum(against)))
    spans = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(strokeWidth=2)
    parts.append(spans.encode(**lines, x=alt.X("low:Q", title=unit), x2="high:Q", color=colour))
    parts.append(base.mark_circle(size=55, opacity=1).encode(**lines, x=across, color=colour, tooltip=told))
    step = alt.Step(13, **{"for": "offset"}) if beside else alt.Step(20)
    return alt.layer(*parts).properties(width=WIDTH - 200, height=step)
