"""Features chosen on some prompts of a behaviour, to be changed on the others.

A prompt's own strongest features are met on that prompt and few others, and are the strongest there partly by luck.
What may be claimed of a feature over prompts is its mean effect where it had no part in being chosen: features are
ranked by their mean |predicted effect| over the prompts that choose, 0 where a graph does not have them, and changed
on every prompt held out (`stats.splits`), where an inactive one has effect 0.

    size_f = mean_p |effect_p[layer, place, feature]|

A place is what prompts have in common: a role, or the distance from the end.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.intervene.predicted import Predictor
from causeway.engine.analyses.intervene.sets import FeatureSet
from causeway.engine.intervention.hold import Name


class PlacedFeature(NamedTuple):
    """A feature at a place that prompts have in common."""

    layer: int
    place: str
    feature: int


def place_names(prompt: CircuitPrompt) -> list[str]:
    """The place of each token: a role, or the distance from the end."""
    names = [f"end-{len(prompt.tokens) - 1 - position}" for position in range(len(prompt.tokens))]
    for role, position in sorted(prompt.roles.items(), reverse=True):
        names[position] = role
    return names


def chosen_features(
    graphs: Iterable[tuple[CircuitPrompt, AttributionGraph]], holds: Name, count: int
) -> tuple[PlacedFeature, ...]:
    """The features of the largest mean |predicted effect| over some prompts' graphs, in order of layer and place."""
    sizes: dict[PlacedFeature, float] = collections.defaultdict(float)
    for prompt, graph in graphs:
        names, effects = place_names(prompt), Predictor(graph, prompt.answers or (0, 0), holds).effects
        for (layer, position, feature), effect in zip(graph.features.tolist(), effects.tolist(), strict=True):
            sizes[PlacedFeature(layer, names[position], feature)] += abs(np.nan_to_num(effect))
    largest = sorted(sizes, key=lambda placed: (-sizes[placed], placed))[:count]
    return tuple(sorted(placed for placed in largest if sizes[placed] > 0))


def placed_sets(features: Sequence[PlacedFeature], prompt: CircuitPrompt, first: int) -> list[FeatureSet]:
    """A row for each feature whose place this prompt has at or after position `first`."""
    at = {name: position for position, name in enumerate(place_names(prompt)) if position >= first}
    return [
        FeatureSet("single", np.array([(placed.layer, at[placed.place], placed.feature)]), at[placed.place])
        for placed in features
        if placed.place in at
    ]
