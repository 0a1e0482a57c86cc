"""Sources that are read whatever their effect: a random stratum, and those of given pairs.

The strongest candidates are partly the luckiest. Some sources drawn at random among the active ones, by a hash of seed
and prompt that knows nothing of their effects, say how well the gradient predicts where it was not chosen for.

Shapes: S layers of the dictionary in its order, R rows of a chunk, k sources of a row and layer.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from causeway.engine import scalars
from causeway.engine.analyses.pathways.changes import PlannedValues
from causeway.engine.analyses.pathways.prompts import ActiveSources
from causeway.engine.analyses.pathways.readings import ALL_POSITIONS, Given, Reduce
from causeway.engine.analyses.pathways.targets import Chunk, Features, Ids, check_features
from causeway.engine.dictionary.dictionary import Dictionary

# A position that no source has: of what fills up.
NOWHERE = -2
# Counts of sources are multiples of it.
STEP = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Sources and targets, ordered by target, then by source; each once.

    Attributes:
        source_layer, source_feature, source_position, target_layer, target_feature: [N]; position `ALL_POSITIONS`:
            summed over the sources' scope.
    """

    source_layer: Int[np.ndarray, " N"]
    source_feature: Int[np.ndarray, " N"]
    source_position: Int[np.ndarray, " N"]
    target_layer: Int[np.ndarray, " N"]
    target_feature: Int[np.ndarray, " N"]

    @classmethod
    def of(
        cls, dictionary: Dictionary, sources: tuple[Ids, Ids],
        targets: tuple[Ids, Ids], positions: Ids | None,
    ) -> "Pairs":  # fmt: skip
        """Checked and in order.

        Args:
            sources, targets: layers and features. positions: of the sources; None: summed.

        Raises:
            ValueError: none, features that the dictionaries lack, not as many sources as targets, or a source that is
                not below its target.
        """
        from_layer, from_feature = check_features(dictionary, *sources, "sources")
        to_layer, to_feature = check_features(dictionary, *targets, "targets")
        at = np.full(len(from_layer), ALL_POSITIONS)
        if positions is not None:
            at = scalars.integers(positions, "positions", ALL_POSITIONS)
        if not len(from_layer) == len(to_layer) == len(at):
            raise ValueError(f"pairs: {len(from_layer)} sources, {len(to_layer)} targets, {len(at)} positions")
        if len(wrong := np.flatnonzero(from_layer >= to_layer)):
            raise ValueError(
                f"pairs: a source of layer {from_layer[wrong[0]]} and a target of layer {to_layer[wrong[0]]}; needs "
                "sources of lower layers"
            )
        columns = np.stack([to_layer, to_feature, from_layer, from_feature, at])
        to_layer, to_feature, from_layer, from_feature, at = np.unique(columns, axis=1)
        return cls(from_layer, from_feature, at, to_layer, to_feature)

    @property
    def targets(self) -> Features:
        """Each once."""
        pairs = np.unique(np.stack([self.target_layer, self.target_feature]), axis=1)
        return Features(pairs[0], pairs[1])

    @functools.cached_property
    def width(self) -> int:
        """Room for the sources of each target and layer."""
        _, counts = np.unique(
            np.stack([self.target_layer, self.target_feature, self.source_layer]), axis=1, return_counts=True
        )
        return int(-(-counts.max() // STEP) * STEP)

    def given(self, chunk: Chunk, layers: Sequence[int], values: PlannedValues | None) -> Given:
        """Sources of a chunk's targets, [S, R, k]."""
        found = _nowhere((len(layers), chunk.rows, self.width), values)
        for row, feature in enumerate(chunk.features):
            own = np.flatnonzero((self.target_layer == chunk.layer) & (self.target_feature == feature))
            for place, layer in enumerate(layers):
                numbers = own[self.source_layer[own] == layer]
                _fill(found, (place, row), self.source_feature[numbers], self.source_position[numbers], values)
        return found

    def check_planned(self, layers: Sequence[int], values: PlannedValues | None) -> None:
        """Refuse sources without a planned value where changes are planned.

        Raises:
            ValueError: naming the first.
        """
        if values is None:
            return
        place = np.searchsorted(layers, self.source_layer, sorter=np.argsort(layers))
        worth = values.table[np.argsort(layers)[place], self.source_feature]
        if len(missing := np.flatnonzero(np.isnan(worth))):
            layer, feature = self.source_layer[missing[0]], self.source_feature[missing[0]]
            raise ValueError(f"change: no value for the source {layer}:{feature}; give one for each source")


def drawn(
    sources: Sequence[ActiveSources], values: PlannedValues | None, count: int, reduce: Reduce, key: str
) -> Given:
    """Some active sources of each layer, [S, 1, k], drawn by a hash of the key; fewer where there are not so many.

    Args:
        sources: of a prompt, by layer. values: planned; only features that have one are drawn then. key: of the seed
            and the prompt.
    """
    found = _nowhere((len(sources), 1, count), values)
    for place, own in enumerate(sources):
        features, positions = own.features, own.positions
        if values is not None:
            kept = np.isfinite(values.table[place, features])
            features, positions = features[kept], positions[kept]
        if reduce == "sum":
            features = np.unique(features)
            positions = np.full_like(features, ALL_POSITIONS)
        digest = hashlib.blake2b(f"{key}:{place}".encode(), digest_size=8).digest()
        chosen = np.sort(np.random.default_rng(int.from_bytes(digest)).permutation(len(features))[:count])
        _fill(found, (place, 0), features[chosen], positions[chosen], values)
    return found


def _nowhere(shape: tuple[int, ...], values: PlannedValues | None) -> Given:
    scale = np.full(shape, 1.0 if values is None else -1.0)
    return Given(np.zeros(shape, np.int32), np.full(shape, NOWHERE, np.int32), scale, np.zeros(shape))


def _fill(
    given: Given, at: tuple[int, int], features: Int[np.ndarray, " n"], positions: Int[np.ndarray, " n"],
    values: PlannedValues | None,
) -> None:  # fmt: skip
    """The first sources of a row and layer."""
    given.ids[at][: len(features)] = features
    given.positions[at][: len(features)] = positions
    if values is not None:
        given.shift[at][: len(features)] = values.table[at[0], features]
