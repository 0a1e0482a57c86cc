"""Values of two classes as histograms over one another, a panel each: how far apart do they lie?"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.panels import panels
from causeway.ports.pages.charts.theme import BLUE, GREY, RED
from causeway.ports.pages.section import TABLE

COLOURS = (BLUE, RED, GREY)


def class_histograms(names: Sequence[str], kinds: Sequence[str], unit: str) -> Any:
    """The chart of a table of panel, value and kind, a row a prompt.

    Args:
        names: of panels, in their order. kinds: of classes, at most three, in the order of the legend. unit: of the
            values.
    """
    across = alt.Bin(maxbins=24)
    scale = alt.Scale(domain=list(kinds), range=list(COLOURS[: len(kinds)]))
    bars = (
        alt.Chart(alt.NamedData(TABLE))
        .mark_bar(opacity=0.55)
        .encode(
            alt.X("value:Q", bin=across, title=unit),
            alt.Y("count():Q", title="prompts", stack=None),
            color=alt.Color("kind:N", title=None, scale=scale),
            tooltip=[
                "kind:N",
                alt.Tooltip("value:Q", bin=across, title=unit),
                alt.Tooltip("count():Q", title="prompts"),
            ],
        )
        .properties(width=250, height=160)
    )
    # Bins of each panel are of its own values.
    return panels(dict.fromkeys(names, bars))
