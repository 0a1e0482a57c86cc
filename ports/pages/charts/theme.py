"""What all charts look like, on paper and on a screen, light or dark.

Colours are those of Okabe and Ito, told apart by people who see few colours, and of a brightness that stands on white
and on black. Text and axes have one grey here; on a page its style sheet gives them the page's own colour.
"""

from typing import Any

from causeway.ports.pages import table_data
from causeway.ports.pages.section import TABLE, Chart

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#8a8f98"
SKY = "#56b4e9"
# Of kinds in no order, and from low to high around 0.
CATEGORIES = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
DIVERGING = (BLUE, "#f4f4f4", RED)
WIDTH = 840
# The version that altair writes and that vl_convert draws.
VEGA_LITE = "6.4"

_INK = "#4a4f57"
CONFIG: dict[str, Any] = {
    "font": "system-ui, 'Helvetica Neue', Arial, sans-serif",
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _INK, "titleColor": _INK, "domainColor": GREY, "tickColor": GREY, "gridColor": GREY,
        "gridOpacity": 0.25, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 260,
    },
    "legend": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12, "titleFontSize": 12,
               "titleFontWeight": "normal", "orient": "top", "labelLimit": 260, "symbolOpacity": 1},
    "header": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12, "titleFontSize": 12},
    "title": {"color": _INK, "fontSize": 13, "fontWeight": "normal", "anchor": "start"},
    "text": {"color": _INK},
    "rule": {"color": GREY},
    "range": {"category": list(CATEGORIES), "diverging": list(DIVERGING)},
    "mark": {"color": BLUE},
}  # fmt: skip


def specification(chart: Chart) -> dict[str, Any]:
    """A chart as Vega-Lite has it, without its data: themed, and described for people who do not see it."""
    made = chart.chart.to_dict()
    about = {"description": f"{chart.title}. {chart.caption}"}
    return {**made, **about, "config": CONFIG}


def with_data(chart: Chart) -> dict[str, Any]:
    """The same with its data, as one document that any tool of Vega-Lite draws."""
    return {**specification(chart), "datasets": {TABLE: table_data.rows(chart.table)}}
