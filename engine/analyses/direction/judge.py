"""How well a projection tells right from wrong on prompts that the direction was not fitted on.

    auc        area under the ROC curve (`engine/stats/auc.py`), with its interval and a test by dealing labels anew
    accuracy   share of prompts on their side of `threshold`, the one that is right most often on the fit side
    spearman   rank correlation with the margin, where there are margins

The prompt's group is the cluster of all intervals; p values of all directions judged together are one family.

Shapes: P prompts, R directions.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from causeway.engine.stats.auc import area, mann_whitney
from causeway.engine.stats.multiple import adjust
from causeway.engine.stats.proportions import clustered_interval
from causeway.engine.stats.spearman import spearman


@dataclasses.dataclass(frozen=True)
class Judged:
    """One side of the prompts.

    Attributes:
        right: labels. margins: nats, NaN where there is none. groups: of each prompt.
    """

    right: Bool[np.ndarray, " P"]
    margins: Float[np.ndarray, " P"]
    groups: Sequence[str]

    @property
    def counts(self) -> dict[str, int]:
        """How many prompts there are."""
        right = int(self.right.sum())
        return {
            "prompts": len(self.right), "groups": len(set(self.groups)), "right": right,
            "wrong": len(self.right) - right,
        }  # fmt: skip


def threshold(projections: Float[np.ndarray, " P"], right: Bool[np.ndarray, " P"]) -> float:
    """The cut, right above it, that is right most often; of equals the nearest to the middle of the two means."""
    order = np.argsort(projections, kind="stable")
    at, hits = projections[order], right[order]
    # Cut i has i prompts below it.
    hit = np.concatenate([[0], np.cumsum(~hits)]) + hits.sum() - np.concatenate([[0], np.cumsum(hits)])
    cuts = np.concatenate([[at[0] - 1], (at[1:] + at[:-1]) / 2, [at[-1] + 1]])
    allowed = np.concatenate([[True], at[1:] > at[:-1], [True]])
    best = allowed & (hit == hit[allowed].max())
    means = [projections[of].mean() for of in (right, ~right) if of.any()]
    return float(cuts[best][np.argmin(np.abs(cuts[best] - np.mean(means)))])


def judged(
    projections: Mapping[str, tuple[Float[np.ndarray, " F"], Float[np.ndarray, " J"]]], fit: Judged, judge: Judged,
    seed: int,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Figures of each direction, JSON-ready but for NaN, where prompts cannot tell.

    Args:
        projections: of the prompts fitted on and of those judged on, by the direction's name.
        seed: of the deals of the test.
    """
    found = {name: _one(own, other, fit, judge, seed) for name, (own, other) in projections.items()}
    q = adjust(np.array([figures["p"] for figures in found.values()])).q
    return {name: figures | {"q": float(value)} for (name, figures), value in zip(found.items(), q, strict=True)}


def _one(
    own: Float[np.ndarray, " F"], other: Float[np.ndarray, " J"], fit: Judged, judge: Judged, seed: int
) -> dict[str, Any]:
    cut = threshold(own, fit.right)
    hits = (other > cut) == judge.right
    told = area(other, judge.right, judge.groups, seed=seed)
    low, high = clustered_interval(hits, list(judge.groups))
    graded = ~np.isnan(judge.margins)
    ranks = spearman(
        other[graded], judge.margins[graded], [g for g, on in zip(judge.groups, graded, strict=True) if on]
    )
    return {
        "auc": told.auc, "auc_low": told.low, "auc_high": told.high, "p": told.p,
        "auc_fit": mann_whitney(own, fit.right), "accuracy": float(hits.mean()), "accuracy_low": low,
        "accuracy_high": high, "threshold": cut, "spearman": ranks.r, "spearman_low": ranks.low,
        "spearman_high": ranks.high,
    }  # fmt: skip
