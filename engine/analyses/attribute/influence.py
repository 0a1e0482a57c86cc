"""Influence of nodes on the targets of interest, and what it decides: the order of work, pruning, scores.

Edges are rows of targets over columns of sources. With |A| normalised so that every row sums to 1, the influence of
a node is the weight of all paths from it to the logits, each logit weighted by its probability p:

    influence = sum_{k >= 1} w A_hat^k = w A_hat + influence A_hat           (w = p on logits)

A feature is explained by lower layers alone, so one pass over the rows from the logits down gives it exactly: no
iteration and no dense square. Cost: one product with every stored edge.

Source: Ameisen et al. 2025, "Circuit Tracing" (pruning and scores); thresholds as in circuit-tracer 0.4.

Shapes: E stored edges, n nodes with rows, m columns.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

TINY = 1e-10


@dataclasses.dataclass(frozen=True)
class Edges:
    """Rows of targets over columns of sources.

    Attributes:
        matrix: signed weights [n, m], stored where they are above the floor. totals: sum of |weights| of each row,
            before the floor [n]. columns: the row's own column, -1 for logits [n]. layers: [n] (L for logits).
    """

    matrix: csr_array
    totals: Float[np.ndarray, " n"]
    columns: Int[np.ndarray, " n"]
    layers: Int[np.ndarray, " n"]


def influence(edges: Edges, weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Influence of every column on the rows weighted by `weights` (zero for features)."""
    shares = _normalised(edges)
    total = np.zeros(edges.matrix.shape[1])
    for layer in np.unique(edges.layers)[::-1]:
        rows = np.flatnonzero(edges.layers == layer)
        own = edges.columns[rows]
        carried = weights[rows] + np.where(own >= 0, total[own], 0.0)
        total += carried @ shares[rows]
    return total


def _normalised(edges: Edges) -> csr_array:
    matrix = edges.matrix
    counts = np.diff(matrix.indptr)
    data = np.abs(matrix.data) / np.repeat(np.maximum(edges.totals, TINY), counts)
    return csr_array((data, matrix.indices, matrix.indptr), matrix.shape)


@dataclasses.dataclass(frozen=True)
class Kept:
    """What pruning keeps: columns [m], and of the stored edges [E]; and each column's cumulative share of influence.

    `cumulative` is what graph files call influence: the share held by a node and all more influential ones, so small
    is important.
    """

    columns: Bool[np.ndarray, " m"]
    edges: Bool[np.ndarray, " E"]
    cumulative: Float[np.ndarray, " m"]


def prune(
    edges: Edges,
    weights: Float[np.ndarray, " n"],
    always: Bool[np.ndarray, " m"],
    node_threshold: float,
    edge_threshold: float,
) -> Kept:
    """Keep the most influential nodes and, among them, the most influential edges.

    Args:
        edges: complete rows of the graph's nodes, over its nodes alone.
        weights: probability of each logit row, 0 for features.
        always: columns never dropped (tokens).
        node_threshold, edge_threshold: shares of the influence kept.
    """
    node_influence = influence(edges, weights)
    cumulative = cumulative_shares(node_influence)
    kept = (node_influence >= _cut(node_influence, node_threshold)) | always
    rows_kept = (edges.columns < 0) | kept[edges.columns]
    row_of = np.repeat(np.arange(len(edges.columns)), np.diff(edges.matrix.indptr))
    alive = rows_kept[row_of] & kept[edges.matrix.indices] & (edges.matrix.data != 0)
    scores = edge_scores(edges, weights, alive, row_of)
    alive &= scores >= _cut(scores[alive], edge_threshold)
    return Kept(*_without_dead_ends(edges, kept, always, alive, row_of), cumulative)


def edge_scores(
    edges: Edges, weights: Float[np.ndarray, " n"], alive: Bool[np.ndarray, " E"], row_of: Int[np.ndarray, " E"]
) -> Float[np.ndarray, " E"]:
    """Each edge's share of its target's influence, in the graph of the edges that are `alive` alone.

    Args:
        edges, weights: as `influence` takes them. row_of: of each stored edge.
    """
    matrix = edges.matrix
    data = np.where(alive, matrix.data, 0)
    totals = np.bincount(row_of, np.abs(data), minlength=len(edges.columns))
    reduced = Edges(csr_array((data, matrix.indices, matrix.indptr), matrix.shape), totals, edges.columns, edges.layers)
    received = influence(reduced, weights)
    carried = weights + np.where(edges.columns >= 0, received[edges.columns], 0.0)
    return np.abs(data) / np.maximum(totals, TINY)[row_of] * carried[row_of]


def _without_dead_ends(
    edges: Edges, kept: np.ndarray, always: np.ndarray, alive: np.ndarray, row_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Drop nodes that nothing reads, and features that nothing explains, until none is left."""
    kept, alive = kept.copy(), alive.copy()
    is_feature = np.zeros(len(kept), bool)
    is_feature[edges.columns[edges.columns >= 0]] = True
    while True:
        read = np.bincount(edges.matrix.indices[alive], minlength=len(kept)) > 0
        explained = np.zeros(len(kept), bool)
        rows = np.unique(row_of[alive])
        explained[edges.columns[rows][edges.columns[rows] >= 0]] = True
        keep = kept & (always | (read & (explained | ~is_feature)))
        if (keep == kept).all():
            return kept, alive
        kept = keep
        alive &= kept[edges.matrix.indices] & ((edges.columns < 0) | kept[edges.columns])[row_of]


def cumulative_shares(values: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Of each value, the share of the sum that it and all larger ones hold together."""
    order = np.argsort(-values, kind="stable")
    out = np.empty(len(values))
    out[order] = np.cumsum(values[order]) / max(values.sum(), TINY)
    return out


def _cut(values: np.ndarray, threshold: float) -> float:
    """The smallest value that belongs to the largest ones which together hold a share `threshold` of the sum."""
    if not len(values):
        return 0.0
    ordered = np.sort(values)[::-1]
    if threshold == 1 and ordered[0] > 0:
        # All that have any: the smallest ones are too small to show in a running sum.
        return float(ordered[ordered > 0][-1])
    shares = np.cumsum(ordered)
    # Divided by the cumulative sum's own last entry: a sum rounded otherwise could never be reached.
    place = np.searchsorted(shares / max(shares[-1], TINY), threshold)
    return float(ordered[min(int(place), len(ordered) - 1)])


def scores(
    edges: Edges, weights: Float[np.ndarray, " n"], errors: Bool[np.ndarray, " m"], tokens: Bool[np.ndarray, " m"]
) -> tuple[float, float]:
    """How much of the graph runs through features: replacement and completeness, both in [0, 1].

    replacement: influence of tokens over that of tokens and errors. completeness: of all nodes that are explained,
    weighted by influence, the share of their input that does not come from errors.
    """
    received = influence(edges, weights)
    from_tokens, from_errors = received[tokens].sum(), received[errors].sum()
    carried = weights + np.where(edges.columns >= 0, received[edges.columns], 0.0)
    error_share = np.asarray(_normalised(edges)[:, np.flatnonzero(errors)].sum(axis=1)).ravel()
    unexplained = received[errors].sum() + received[tokens].sum()
    output = carried.sum() + unexplained
    completeness = (carried @ (1 - error_share) + unexplained) / max(output, TINY)
    return float(from_tokens / max(from_tokens + from_errors, TINY)), float(completeness)
