"""Features layer by layer, and arrows for what drives what.

Rows of the table are of three parts: a `node` has x, y, label, words, size and strength; an `edge` has x, y, x2, y2,
kind and share. Places are those of `layers` to the right, and one a feature upwards around 0.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from causeway.ports.pages.charts.theme import BLUE, GREY, ORANGE, RED
from causeway.ports.pages.section import TABLE

KINDS, COLOURS = ("excites", "inhibits", "in replay alone"), (RED, BLUE, GREY)
# Pixels between layers and between features, and from an arrow's end to the middle of the disc that it points at.
ACROSS, UP, SHORT = 165, 58, 13
# How far beside the middle of an arrow its parabola's control point lies, downwards where names are not, as a share of
# the arrow's length.
BEND = 0.12


def layered(layers: Sequence[int], rows: int, strength: str, kinds: Sequence[str]) -> Any:
    """The chart.

    Args:
        layers: of the columns, from the left. rows: features in the fullest layer. strength: what colours a disc;
            "" where nothing does. kinds: of arrows, those of `KINDS` that there are.
    """
    x = alt.Scale(domain=[-0.5, len(layers) - 0.5], nice=False)
    y = alt.Scale(domain=[-rows / 2 - 0.15, rows / 2 + 0.15], nice=False)
    axis = alt.Axis(
        values=list(range(len(layers))), labelExpr=f"'layer ' + {list(layers)}[datum.value]", title=None, grid=False,
        domain=False, ticks=False, orient="bottom",
    )  # fmt: skip
    place = {"x": alt.X("x:Q", scale=x, axis=axis, title=None), "y": alt.Y("y:Q", scale=y, axis=None)}
    base = alt.Chart(alt.NamedData(TABLE))
    nodes = base.transform_filter("datum.part == 'node'")
    about = ["label:N", "words:N", alt.Tooltip("size:Q", title="evidence")]
    about += [alt.Tooltip("strength:Q", title=strength, format=".3g")] if strength else []
    discs = nodes.mark_circle(opacity=1, stroke=GREY, strokeWidth=1, invalid=None).encode(
        **place, tooltip=about, color=_strength(strength), size=alt.Size("size:Q", scale=alt.Scale(
            domain=[0, 6], range=[90, 420], clamp=True), legend=None)
    )  # fmt: skip
    names = nodes.mark_text(dy=-17, fontSize=12, fontWeight="bold").encode(**place, text="label:N")
    words = nodes.mark_text(dy=19, fontSize=10.5, limit=ACROSS - 8).encode(**place, text="words:N")
    parts = [*([_arrows(base, kinds, x, y, axis)] if kinds else []), discs, names, words]
    chart = alt.layer(*parts).properties(width=ACROSS * len(layers), height=UP * (rows + 0.3))
    return chart.resolve_scale(color="independent")


def _strength(title: str) -> Any:
    if not title:
        return alt.value("#c9cdd3")
    scale = alt.Scale(range=["#fff3d6", ORANGE, "#7a3b00"], domainMin=0)
    return alt.condition(
        "isValid(datum.strength)",
        alt.Color("strength:Q", title=title, scale=scale, legend=alt.Legend(orient="bottom", gradientLength=160)),
        alt.value("#c9cdd3"),
    )


def _arrows(base: Any, kinds: Sequence[str], x: Any, y: Any, axis: Any) -> Any:
    """Bent lines, so that none runs through a disc between its ends, and a triangle that points along each."""
    edges = _bent(base.transform_filter("datum.part == 'edge'"))
    colours, dashes = dict(zip(KINDS, COLOURS, strict=True)), {KINDS[-1]: [4, 3]}
    scale = alt.Scale(domain=list(kinds), range=[colours[kind] for kind in kinds])
    colour = alt.Color("kind:N", title=None, scale=scale, legend=alt.Legend(orient="top", symbolType="stroke"))
    share = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.3, 0.85]), legend=None)
    width = alt.StrokeWidth("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.8, 2.8]), legend=None)
    dash = alt.StrokeDash(
        "kind:N", scale=alt.Scale(domain=list(kinds), range=[dashes.get(kind, [1, 0]) for kind in kinds]), legend=None
    )
    told = ["detail:N", "kind:N", alt.Tooltip("share:Q", title="share of the largest into the target", format=".2f")]
    at = {
        "x": alt.X("at_x:Q", scale=x, axis=axis, title=None), "y": alt.Y("at_y:Q", scale=y, axis=None),
        "color": colour, "opacity": share, "tooltip": told,
    }  # fmt: skip
    lines = edges.mark_line().encode(**at, detail="detail:N", order="t:Q", strokeWidth=width, strokeDash=dash)
    ends = edges.transform_filter("datum.t == 1").mark_point(shape="triangle-right", filled=True, size=75)
    return alt.layer(lines, ends.encode(**at, angle=alt.Angle("angle:Q", scale=None)))


def _bent(edges: Any) -> Any:
    """Eleven places along each edge, t from 0 to 1, on a parabola.

    In pixels from the source: right and down to the target; the parabola's control point lies beside the middle.
    """
    made = edges.transform_calculate(
        right=f"(datum.x2 - datum.x) * {ACROSS}", down=f"(datum.y - datum.y2) * {UP}"
    ).transform_calculate(
        length="max(sqrt(datum.right * datum.right + datum.down * datum.down), 1)",
        beside=f"datum.right / 2 - {BEND} * datum.down", below=f"datum.down / 2 + {BEND} * datum.right",
    ).transform_calculate(t="sequence(0, 1.01, 0.1)").transform_flatten(["t"]).transform_calculate(
        t="round(datum.t * 10) / 10",
    ).transform_calculate(part_of=f"datum.t * (1 - {SHORT} / datum.length)")  # fmt: skip
    here = "2 * datum.part_of * (1 - datum.part_of) * datum.{0} + datum.part_of * datum.part_of * datum.{1}"
    return made.transform_calculate(
        at_x=f"datum.x + ({here.format('beside', 'right')}) / {ACROSS}",
        at_y=f"datum.y - ({here.format('below', 'down')}) / {UP}",
        angle="atan2(datum.down - datum.below, datum.right - datum.beside) * 180 / PI",
    )  # fmt: skip
