"""The picture of `integrate`: layers to the right, the strongest features of each on top, arrows for what drives."""

from pathlib import Path
from typing import Any

from causeway.engine.analyses.integrate.picture import Picture, Spot
from causeway.ports.results.figures import new_figure, save_figure

_COLORS = {1: "tab:red", -1: "tab:blue", 0: "0.5"}


def draw_integrated(path: Path, picture: Picture) -> None:
    """Draw a picture of one feature or more.

    Spots are darker with their effect on behaviour (grey where it is unknown) and larger with more evidence; arrows are
    red where more of the source is more of the target, blue where it is less, wider with their share of the largest
    into it, grey and dashed where replay alone found something.
    """
    layers = sorted({spot.x for spot in picture.spots})
    columns = {layer: place for place, layer in enumerate(layers)}
    rows = max(sum(spot.x == layer for spot in picture.spots) for layer in layers)
    figure, axes = new_figure(2.5 + 1.9 * len(layers), 2.2 + 0.85 * rows)
    for arrow in picture.arrows:
        _arrow(axes, picture, columns, arrow)
    largest = max((spot.effect or 0.0 for spot in picture.spots), default=0.0) or 1.0
    image = None
    for spot in picture.spots:
        drawn = _spot(axes, spot, columns[spot.x], largest)
        image = image if spot.effect is None else drawn
    axes.set_xticks(range(len(layers)), [f"layer {layer:g}" for layer in layers])
    axes.set_yticks([])
    axes.set(xlim=(-0.6, len(layers) - 0.4), ylim=(-(rows - 1) / 2 - 0.8, (rows - 1) / 2 + 0.6))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if image is not None:
        figure.colorbar(image, ax=axes, label="size of the effect on behaviour", shrink=0.6, aspect=30, pad=0.01)
    left = picture.features - len(picture.spots)
    axes.set_title(
        f"{len(picture.spots)} features with most evidence on top{f', {left} more not drawn' if left else ''}\n"
        "arrows: red excites, blue inhibits, dashed in replay alone\nwords: + added, \N{MINUS SIGN} removed",
        fontsize=10,
    )
    save_figure(figure, path)


def _spot(axes: Any, spot: Spot, x: float, largest: float) -> Any:
    """A disc with the feature's name above and its words below, readable across arrows."""
    from matplotlib.patheffects import withStroke

    color = {"c": [spot.effect], "cmap": "YlOrBr", "vmin": 0.0, "vmax": largest}
    chosen = {"color": "0.8"} if spot.effect is None else color
    drawn = axes.scatter([x], [spot.y], s=60 + 45 * spot.size, edgecolors="0.3", linewidths=0.8, zorder=3, **chosen)
    axes.annotate(
        spot.name, (x, spot.y), (0, 10), textcoords="offset points", ha="center", va="bottom", fontsize=9, zorder=5,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip
    if spot.words:
        told = " ".join(_shown(word) for word in spot.words)
        axes.annotate(
            told, (x, spot.y), (0, -10), textcoords="offset points", ha="center", va="top", fontsize=7.5, color="0.2",
            zorder=5, path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
    return drawn


def _shown(word: str) -> str:
    """A word with its sign, safe from being read as mathematics."""
    return ("\N{MINUS SIGN}" if word[0] == "-" else "+") + word[1:].replace("$", r"\$")


def _arrow(axes: Any, picture: Picture, columns: dict[float, int], arrow: Any) -> None:
    source, target = picture.spots[arrow.source], picture.spots[arrow.target]
    ends = [(columns[spot.x], spot.y) for spot in (source, target)]
    axes.annotate(
        "", ends[1], ends[0], zorder=1 + arrow.share,
        arrowprops={
            "arrowstyle": "-|>", "color": _COLORS[arrow.sign],
            "alpha": (0.25 + 0.45 * arrow.share) * (1 if arrow.sign else 0.5),
            "linewidth": 0.6 + 1.6 * arrow.share, "shrinkA": 8, "shrinkB": 9,
            "linestyle": "-" if arrow.sign else "--", "connectionstyle": "arc3,rad=0.12",
        },
    )  # fmt: skip
