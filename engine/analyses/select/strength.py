"""How strong each feature is, and the strongest of each layer or of all.

    cohen_d     |d| of the screen: how differently the feature is active in both groups (a correlation)
    effect      |effect| of setting it
    interval    the end of the effect's interval that is nearer to 0, max(low, -high): below 0 where 0 lies inside, so
                that a feature is strong when its effect is surely large and not when it is only measured badly
    all         nothing: every feature is taken

The strongest of many noisy effects are partly the luckiest: of the features taken here, the effects on the prompts that
ranked them are too large on average. A sweep that splits its prompts has its q from one half and its effects from the
other, so that effects are free of a choice by q; they are not free of one by themselves or their intervals, which this
is. What is measured of the features taken (rollouts, pathways, replay, words) is free of it on prompts that the sweep
did not see.

Shapes: F features. Cost: a sort.
"""

from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Float

RankBy = Literal["cohen_d", "effect", "interval", "all"]
RANKS: tuple[RankBy, ...] = get_args(RankBy)
_MISSING = {
    "cohen_d": "rank by effect, or give the screen's table",
    "effect": "rank by cohen_d",
    "interval": "rank by effect, or by cohen_d",
}


def strength(features: pa.Table, rank_by: RankBy) -> Float[np.ndarray, " F"]:
    """Of each feature, NaN where it is not known; 0 of all with `all`."""
    if rank_by == "all":
        return np.zeros(features.num_rows)
    if rank_by == "interval":
        low, high = (_numbers(features, name) for name in ("low", "high"))
        return np.fmax(np.where(np.isnan(high), np.nan, low), np.where(np.isnan(low), np.nan, -high))
    return np.abs(_numbers(features, rank_by))


def strongest(features: pa.Table, rank_by: RankBy, per_layer: int, top_total: int | None = None) -> pa.Table:
    """The features taken, the strongest first (in order of layer and feature where all are taken).

    Args:
        features: `FEATURES`. rank_by: see above. per_layer: taken of each layer. top_total: taken in all, in place of
            per_layer.

    Returns:
        The rows, with columns strength and rank (1 is the strongest; null with `all`).

    Raises:
        ValueError: no feature has what it is ranked by.
    """
    strong = strength(features, rank_by)
    known = np.flatnonzero(~np.isnan(strong))
    if not len(known):
        raise ValueError(f"rank_by: got {rank_by}, which none of {features.num_rows} features has; {_MISSING[rank_by]}")
    layer, feature = (features[name].to_numpy() for name in ("layer", "feature"))
    order = known[np.lexsort((feature[known], layer[known], -strong[known]))]
    if rank_by != "all":
        order = order[:top_total] if top_total else order[_place(layer[order]) < per_layer]
    ranks = np.arange(1, len(order) + 1)
    none = rank_by == "all"
    return (
        features.take(order)
        .append_column("strength", pa.array(strong[order], mask=np.full(len(order), none)))
        .append_column("rank", pa.array(ranks, pa.int32(), mask=np.full(len(order), none)))
    )


def _place(layers: np.ndarray) -> np.ndarray:
    """How many rows of its layer come before each row."""
    order = np.argsort(layers, kind="stable")
    first = np.searchsorted(layers[order], layers[order], side="left")
    place = np.empty(len(layers), np.int64)
    place[order] = np.arange(len(layers)) - first
    return place


def _numbers(features: pa.Table, name: str) -> Float[np.ndarray, " F"]:
    return features[name].to_numpy().astype(np.float64)
