"""The picture of `integrate`, for pages and as a file: layers to the right, the strongest features of each on top.

figures/integrated.png   arrows for what drives what
"""

from pathlib import Path

import pyarrow as pa

from causeway.engine.analyses.integrate.picture import Picture
from causeway.ports.pages.charts.layered import KINDS, layered
from causeway.ports.pages.figures import write_figure
from causeway.ports.pages.section import Chart

_KIND = dict(zip((1, -1, 0), KINDS, strict=True))
_NUMBERS = ("x", "y", "x2", "y2", "size", "strength", "share")
_TEXTS = ("part", "label", "words", "kind", "detail")
CAPTION = (
    "A disc is a feature, larger with more evidence; an arrow runs from a feature to one that changes when the first "
    "is set, red where more of the first is more of the second, blue where it is less, wider with its share of the "
    "largest arrow into the same feature."
)


def draw_integrated(path: Path, picture: Picture) -> None:
    """Draw a picture of one feature or more."""
    write_figure(path, integrated_chart(picture))


def integrated_chart(picture: Picture, strength: str = "size of the effect on behaviour") -> Chart:
    """The chart of a picture of one feature or more.

    Args:
        strength: what colours the discs, for the legend.
    """
    layers = sorted({int(spot.x) for spot in picture.spots})
    columns = {layer: place for place, layer in enumerate(layers)}
    rows = max(sum(spot.x == layer for spot in picture.spots) for layer in layers)
    kinds = [kind for sign, kind in _KIND.items() if any(arrow.sign == sign for arrow in picture.arrows)]
    known = any(spot.effect is not None for spot in picture.spots)
    left = picture.features - len(picture.spots)
    caption = CAPTION + (" Grey and dashed: found in replay alone." if any(not a.sign for a in picture.arrows) else "")
    caption += " Below a name: words that it adds (+) and removes." if any(s.words for s in picture.spots) else ""
    caption += f" {left} features of less evidence are not drawn." if left else ""
    return Chart(
        "picture", "Features, and what drives what", caption,
        layered(layers, rows, strength if known else "", kinds), _table(picture, columns),
    )  # fmt: skip


def _table(picture: Picture, columns: dict[int, int]) -> pa.Table:
    """Rows of nodes and of edges, as the chart reads them."""
    nodes = [
        {"part": "node", "x": columns[int(spot.x)], "y": spot.y, "label": spot.name, "size": spot.size,
         "strength": spot.effect, "words": " ".join(map(_shown, spot.words))}
        for spot in picture.spots
    ]  # fmt: skip
    edges = []
    for arrow in picture.arrows:
        ends = [picture.spots[place] for place in (arrow.source, arrow.target)]
        (x, y), (x2, y2) = ((columns[int(spot.x)], spot.y) for spot in ends)
        edges.append({
            "part": "edge", "x": x, "y": y, "x2": x2, "y2": y2, "kind": _KIND[arrow.sign], "share": arrow.share,
            "detail": " to ".join(spot.name for spot in ends),
        })  # fmt: skip
    kinds = [(name, pa.float64()) for name in _NUMBERS] + [(name, pa.string()) for name in _TEXTS]
    return pa.Table.from_pylist([*nodes, *edges], pa.schema(kinds))


def _shown(word: str) -> str:
    """A word with its sign."""
    return ("\N{MINUS SIGN}" if word[0] == "-" else "+") + word[1:]
