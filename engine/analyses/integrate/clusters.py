"""Features of a layer that do the same: clusters by what they drive, what drives them, and the words they add.

Average linkage (`scipy.cluster.hierarchy`) of the distances 1 - s (`profiles`), cut where the mean similarity of two
clusters falls below `similarity`. Within a layer, because features of one layer cannot drive one another, so those that
are alike there are alternatives and not steps of one path. Which clusters are more alike than chance is told beside
them: on few words or pathways two features are easily alike.
"""

from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from causeway.engine.analyses.integrate import profiles
from causeway.engine.analyses.integrate.by_feature import Feature, name_of

LABEL_WORDS = 3


def layer_clusters(
    pathways: profiles.Entries, texts: profiles.Entries, similarity: float, seed: int
) -> dict[int, dict[str, Any]]:
    """Clusters of two features or more, by layer.

    Args:
        pathways, texts: what features were found to do. similarity: least mean similarity of two that are joined.

    Returns:
        Of each layer that has a profile: `features` (how many have one), `alone` (how many joined none), `chance` (see
        `profiles.chance`), and `clusters`, the largest first, as JSON values.
    """
    layers: dict[int, set[Feature]] = {}
    for feature, _, _ in (*pathways, *texts):
        layers.setdefault(feature[0], set()).add(feature)
    return {layer: _of_layer(sorted(layers[layer]), pathways, texts, similarity, seed) for layer in sorted(layers)}


def _of_layer(
    features: list[Feature], pathways: profiles.Entries, texts: profiles.Entries, least: float, seed: int
) -> dict[str, Any]:
    parts = [profiles.part(features, entries) for entries in (pathways, texts)]
    alike = profiles.similarity(parts)
    bound = profiles.chance(parts, seed)
    members = [rows for rows in _joined(alike, least) if len(rows) > 1]
    members.sort(key=lambda rows: (-len(rows), rows[0]))
    found = [
        _described(f"L{features[0][0]}-c{number}", [features[row] for row in rows], rows, parts, alike, bound)
        for number, rows in enumerate(members, start=1)
    ]
    return {
        "features": len(features), "alone": len(features) - sum(map(len, members)), "chance": bound, "clusters": found
    }  # fmt: skip


def _joined(alike: Float[np.ndarray, "F F"], least: float) -> list[list[int]]:
    """Rows of each cluster."""
    if len(alike) == 1:
        return [[0]]
    distances = np.maximum(1.0 - alike, 0.0)
    np.fill_diagonal(distances, 0.0)
    labels = fcluster(linkage(squareform(distances, checks=False), "average"), 1.0 - least, "distance")
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]


def _described(
    name: str, features: list[Feature], rows: list[int], parts: list[profiles.Part], alike: np.ndarray, bound: float
) -> dict[str, Any]:
    within = alike[np.ix_(rows, rows)][~np.eye(len(rows), dtype=bool)].mean()
    pathways, texts = (_common(part, rows) for part in parts)
    words = [f"{'adds' if sign > 0 else 'removes'} {column[-1]}" for column, sign in texts]
    drives = [f"{'raises' if sign > 0 else 'lowers'} {to}" for (how, to), sign in pathways if how == "drives"]
    driven = [f"{'raised' if sign > 0 else 'lowered'} by {by}" for (how, by), sign in pathways if how != "drives"]
    words = list(dict.fromkeys(words))
    return {
        "name": name, "features": [name_of(feature) for feature in features], "similarity": float(within),
        "above_chance": bool(within > bound), "words": words, "drives": drives, "driven_by": driven,
        "label": ", ".join((words or drives or driven)[:LABEL_WORDS]),
    }  # fmt: skip


def _common(part: profiles.Part, rows: list[int]) -> list[tuple[profiles.Column, int]]:
    """Columns that at least half of the members have with one sign, the most common first."""
    counts = Counter({
        (name, sign): int((part.signs[rows, column] == sign).sum())
        for column, name in enumerate(part.names) for sign in (1, -1)
    })  # fmt: skip
    return [key for key, count in counts.most_common() if 2 * count >= len(rows)]
