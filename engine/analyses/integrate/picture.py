"""Where the features of the picture stand: layers to the right, in each layer the strongest on top.

The strongest features alone are drawn, and so many of a layer at most, or nothing could be read; edges are those among
them. Positions: x is the layer, y falls by one a feature, centred on 0. Cost: none.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import networkx as nx

from causeway.engine.analyses.integrate.by_feature import DIRECTIONS
from causeway.engine.analyses.integrate.feature_table import Story, words_of

FEATURES, OF_A_LAYER, WORDS = 48, 9, 3


@dataclasses.dataclass(frozen=True)
class Spot:
    """A feature in the picture.

    Attributes:
        x, y: its place. name: of the feature. size: how much evidence there is, 0 to 6. effect: size of that on
            behaviour, whose sign would be that of one outcome or another; None unknown. words: what it adds and
            removes, some of each, "+bet" and "-stop".
    """

    x: float
    y: float
    name: str
    size: int
    effect: float | None
    words: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Arrow:
    """An edge.

    Attributes:
        source, target: numbers of its spots. share: its size as a share of the largest of its kind into the target.
        sign: 1 where more of the source is more of the target, -1 where it is less, 0 where that is not known.
    """

    source: int
    target: int
    share: float
    sign: int


@dataclasses.dataclass(frozen=True)
class Picture:
    """What is drawn, and of how many features it was taken."""

    spots: tuple[Spot, ...]
    arrows: tuple[Arrow, ...]
    features: int


def picture(stories: Sequence[Story], graph: nx.DiGraph) -> Picture:
    """The strongest features and what runs between them.

    Args:
        stories: the strongest first.
    """
    layers: dict[int, list[Story]] = defaultdict(list)
    for story in stories:
        if sum(map(len, layers.values())) < FEATURES and len(layers[story["layer"]]) < OF_A_LAYER:
            layers[story["layer"]].append(story)
    spots = tuple(
        _spot(story, (len(layers[layer]) - 1) / 2 - row)
        for layer in sorted(layers)
        for row, story in enumerate(layers[layer])
    )
    places = {spot.name: place for place, spot in enumerate(spots)}
    arrows = []
    for source, target, edge in graph.edges(data=True):
        if source in places and target in places:
            into = [abs(e["effect"]) for *_, e in graph.in_edges(target, data=True) if e["kind"] == edge["kind"]]
            sign = edge["sign"] if edge["kind"] == "pathway" else 0
            arrows.append(Arrow(places[source], places[target], abs(edge["effect"]) / (max(into) or 1.0), sign))
    return Picture(spots, tuple(arrows), len(stories))


def _spot(story: Story, height: float) -> Spot:
    words = [
        sign + word.strip()
        for sign, direction in zip("+-", DIRECTIONS, strict=True)
        for word in words_of(story, direction)[:WORDS]
    ]
    effect = story["effect"]["effect"] if story["effect"] else None
    effect = None if effect is None or effect != effect else abs(effect)
    return Spot(story["layer"], height, story["feature"], len(story["evidence"]), effect, tuple(words))
