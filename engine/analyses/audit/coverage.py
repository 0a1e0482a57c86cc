"""What a study's responses cover: trials of each feature and condition, and how much they vary.

A row with feature -1 stands for every feature (of its layer, or of all), as a baseline that a sweep ran once.

Shapes: F features, C conditions. Cost: one pass over the rows.
"""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.earlier_results import ARMS, CONTEXTS, EVERY, feature_name

# The published study's six conditions.
STUDY_CONDITIONS = tuple(Arm.parse(arm).condition(context) for context in CONTEXTS for arm in ARMS)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Counts of each feature under each condition.

    Attributes:
        names: [F], in the order of layer and feature. layers: [F]. conditions: [C] names.
        trials, actions, texts: trials, distinct actions and distinct responses; 0 where there are none.
        shared: whether some rows stand for every feature.
    """

    names: tuple[str, ...]
    layers: Int[np.ndarray, " F"]
    conditions: tuple[str, ...]
    trials: Int[np.ndarray, "F C"]
    actions: Int[np.ndarray, "F C"]
    texts: Int[np.ndarray, "F C"]
    shared: bool

    def missing(self) -> list[dict[str, Any]]:
        """Features without some of the conditions."""
        return [
            {"feature": self.names[f], "missing": [self.conditions[c] for c in np.flatnonzero(self.trials[f] == 0)]}
            for f in np.flatnonzero((self.trials == 0).any(axis=1))
        ]

    def usual(self) -> dict[str, int]:
        """The number of trials that most features have, by condition."""
        counts = (Counter(column[column > 0].tolist()) for column in self.trials.T)
        return {
            name: count.most_common(1)[0][0] if count else 0
            for name, count in zip(self.conditions, counts, strict=True)
        }

    def uneven(self) -> list[dict[str, Any]]:
        """Features with another number of trials than most have, where they have any."""
        usual = np.array(list(self.usual().values()), np.int64)
        odd = (self.trials > 0) & (self.trials != usual)
        return [
            {"feature": name, "trials": {self.conditions[c]: int(trials[c]) for c in np.flatnonzero(row)}}
            for name, trials, row in zip(self.names, self.trials, odd, strict=True)
            if row.any()
        ]

    def constant(self, which: str) -> list[dict[str, Any]]:
        """Features and conditions of several trials that all came out alike.

        Args:
            which: "actions", or "texts" (every response the same: draws without randomness).
        """
        alike = (self.trials > 1) & (getattr(self, which) == 1)
        return [{"feature": self.names[f], "condition": self.conditions[c]} for f, c in np.argwhere(alike)]


def coverage(responses: pa.Table, needed: tuple[str, ...] = ()) -> Coverage:
    """Counts of a responses table.

    Args:
        responses: `RESPONSES`, each trial once.
        needed: conditions that should be there, besides those that are.
    """
    plain = pa.table({
        "layer": responses["layer"], "feature": responses["feature"],
        "condition": responses["condition"].cast(pa.string()), "action": responses["action"].cast(pa.string()),
        "response": _codes(responses["response"]),
    })  # fmt: skip
    grouped = plain.group_by(["layer", "feature", "condition"]).aggregate(
        [([], "count_all"), ("action", "count_distinct"), ("response", "count_distinct")]
    )
    layer, feature = (grouped[name].to_numpy() for name in ("layer", "feature"))
    seen = grouped["condition"].to_pylist()
    conditions = tuple(dict.fromkeys([*needed, *sorted(set(seen))]))
    pairs, row = np.unique(np.stack([layer, feature], axis=1), axis=0, return_inverse=True)
    column = np.array([conditions.index(name) for name in seen], int)
    counts = np.zeros((3, len(pairs), len(conditions)), np.int64)
    for into, name in zip(counts, ("count_all", "action_count_distinct", "response_count_distinct"), strict=True):
        into[row.ravel(), column] = grouped[name].to_numpy()
    shared = pairs[:, 1] == EVERY
    own, counts = pairs[~shared], _filled(counts, pairs, shared)
    names = tuple(feature_name(*pair) for pair in own.tolist())
    return Coverage(names, own[:, 0], conditions, counts[0], counts[1], counts[2], bool(shared.any()))


def _codes(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers that are equal where texts are, so that counting distinct ones keeps no copies of them."""
    return pa.chunked_array([chunk.indices for chunk in texts.dictionary_encode().chunks], pa.int32())


def _filled(counts: Int[np.ndarray, "3 pairs C"], pairs: np.ndarray, shared: np.ndarray) -> Int[np.ndarray, "3 F C"]:
    """The features' counts, where there are none those of the rows that stand for them, a layer's own first."""
    own, kept = pairs[~shared], counts[:, ~shared].copy()
    for row in np.flatnonzero(shared)[::-1]:
        here = (pairs[row, 0] == EVERY) | (own[:, 0] == pairs[row, 0])
        empty = here[:, None] & (kept[0] == 0)
        kept = np.where(empty, counts[:, row, None], kept)
    return kept
