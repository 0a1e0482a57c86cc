"""Which features of a prompt are changed together: the rows of a sweep.

    kind         what one row changes
    single       one feature, at one token or at all
    layer        all chosen features of a layer
    circuit      all features of the graph that pruning keeps
    complement   all features active on the prompt that it does not keep

Shapes: N places (layer, position, feature) in all.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.intervene.clean_run import CleanRun

Kind = Literal["single", "layer", "circuit", "complement"]
KINDS: tuple[Kind, ...] = ("single", "layer", "circuit", "complement")
EVERYWHERE = -1


@dataclasses.dataclass(frozen=True)
class Place:
    """A feature at a token (negative ones count from the end), at the one of a role, or at all tokens (None); `value`
    overrides the operation's."""

    layer: int
    position: int | str | None
    feature: int
    value: float | None = None

    def position_in(self, prompt: CircuitPrompt) -> int | None:
        """Where it is in a prompt; None for all tokens.

        Raises:
            ValueError: a position outside the prompt, or a role that it does not have.
        """
        position, length = self.position, len(prompt.tokens)
        if isinstance(position, str):
            if position not in prompt.roles:
                roles = ", ".join(prompt.roles) or "none"
                raise ValueError(f"features: prompt {prompt.id} has no role {position!r}; its roles: {roles}")
            position = prompt.roles[position]
        if position is not None and not -length <= position < length:
            raise ValueError(f"features: position {position} is outside a prompt of {length} tokens")
        return None if position is None else position % length


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """Features changed by one row.

    Attributes:
        kind: see above. places: [N, 3]. position: of a single feature, `EVERYWHERE` where it is at all tokens or there
            are several. value: what the features are set to, where they were given one.
    """

    kind: Kind
    places: Int[np.ndarray, "N 3"]
    position: int = EVERYWHERE
    value: float | None = None

    @property
    def features(self) -> list[int]:
        """Distinct features, in order."""
        return np.unique(self.places[:, 2]).tolist()

    @property
    def layer(self) -> int:
        """The layer of all of them; -1 where they are of several."""
        layers = np.unique(self.places[:, 0])
        return int(layers[0]) if len(layers) == 1 else -1


def single_sets(places: Sequence[Place], prompt: CircuitPrompt) -> list[FeatureSet]:
    """A row for each place.

    Raises:
        ValueError: a place that the prompt does not have.
    """
    sets = []
    for place in places:
        position = place.position_in(prompt)
        at = range(len(prompt.tokens)) if position is None else [position]
        rows = np.array([(place.layer, token, place.feature) for token in at])
        sets.append(FeatureSet("single", rows, EVERYWHERE if position is None else position, place.value))
    return sets


def strongest_sets(graph: AttributionGraph, effects: np.ndarray, count: int) -> list[FeatureSet]:
    """A row for each of the graph's features with the largest effects on its target."""
    order = np.sort(np.argsort(-np.abs(effects), kind="stable")[:count])
    return [FeatureSet("single", graph.features[[i]], int(graph.features[i, 1])) for i in order]


def layer_sets(singles: Sequence[FeatureSet]) -> list[FeatureSet]:
    """A row for each layer of the features chosen."""
    if not singles:
        return []
    together = np.unique(np.concatenate([one.places for one in singles]), axis=0)
    return [FeatureSet("layer", together[together[:, 0] == layer]) for layer in np.unique(together[:, 0])]


def circuit_sets(
    graph: AttributionGraph, run: CleanRun, thresholds: tuple[float, float], kinds: Sequence[Kind], first: int
) -> list[FeatureSet]:
    """The circuit that pruning keeps, and what of the features active from position `first` on it does not."""
    circuit = graph.prune(*thresholds).features
    sets = [FeatureSet("circuit", circuit)] if "circuit" in kinds and len(circuit) else []
    if "complement" in kinds:
        active = [_active(run, layer, first) for layer in sorted(run.transcoders.config.layers)]
        inside = {tuple(place) for place in circuit.tolist()}
        rest = np.array([place for place in np.concatenate(active).tolist() if tuple(place) not in inside])
        sets += [FeatureSet("complement", rest)] if len(rest) else []
    return sets


def _active(run: CleanRun, layer: int, first: int) -> Int[np.ndarray, "n 3"]:
    """A layer's active features; positions before `first` have none in a graph."""
    position, feature = np.nonzero(run.activations(layer)[first:])
    return np.stack([np.full_like(position, layer), position + first, feature], axis=1)
