"""Ranking, pruning and scores of attribution graphs as dense numpy, transcribed from their definitions.

A is targets x sources over all nodes in the order features, errors, tokens, logits; influence is iterated as a matrix.
"""

import numpy as np


def path_influence(a: np.ndarray, start: np.ndarray) -> np.ndarray:
    """sum_{k >= 1} start A^k of a nilpotent matrix."""
    total, x = np.zeros(len(a)), start
    while x.any():
        x = x @ a
        total += x
    return total


def normalised(a: np.ndarray) -> np.ndarray:
    return abs(a) / np.maximum(abs(a).sum(axis=1, keepdims=True), 1e-10)


def start_at(a: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(len(a) - len(probabilities)), probabilities])


def threshold_of(values: np.ndarray, share: float) -> float:
    """The smallest of the largest values that hold this share; of all of it, the smallest that is not 0."""
    if share == 1:
        return values[values > 0].min()
    ordered = np.sort(values.ravel())[::-1]
    place = np.searchsorted(np.cumsum(ordered) / ordered.sum(), share)
    return ordered[min(place, len(ordered) - 1)]


def prune(a, features: int, tokens: int, probabilities, node_threshold: float, edge_threshold: float):
    """Masks over nodes [M] and edges [M, M], and cumulative scores [M]."""
    logits, start = len(probabilities), start_at(a, probabilities)
    influence = path_influence(normalised(a), start)
    nodes = influence >= threshold_of(influence, node_threshold)
    nodes[len(a) - logits - tokens :] = True
    inside = a * nodes[:, None] * nodes[None, :]
    shares = normalised(inside)
    scores = shares * (path_influence(shares, start) + start)[:, None]
    edges = scores >= threshold_of(scores, edge_threshold)
    while True:
        before = nodes.copy()
        nodes[: len(a) - logits - tokens] &= edges.any(axis=0)[: len(a) - logits - tokens]
        nodes[:features] &= edges.any(axis=1)[:features]
        edges &= nodes[:, None] & nodes[None, :]
        if (before == nodes).all():
            break
    order = np.argsort(-influence, kind="stable")
    cumulative = np.empty(len(a))
    cumulative[order] = np.cumsum(influence[order]) / influence.sum()
    return nodes, edges, cumulative


def scores(a, features: int, tokens: int, probabilities) -> tuple[float, float]:
    """Replacement and completeness."""
    shares, start = normalised(a), start_at(a, probabilities)
    influence = path_influence(shares, start)
    errors = slice(features, len(a) - len(probabilities) - tokens)
    from_tokens = influence[errors.stop : errors.stop + tokens].sum()
    output = influence + start
    complete = output @ (1 - shares[:, errors].sum(axis=1)) / output.sum()
    return from_tokens / (from_tokens + influence[errors].sum()), complete


def select(edges: np.ndarray, probabilities, budget: int, update_every: int) -> list[int]:
    """Features chosen by incremental influence; `edges` [n + K, m] holds the rows of all active features."""
    n = len(edges) - len(probabilities)
    chosen: list[int] = []
    while len(chosen) < budget:
        rows = np.concatenate([abs(edges[n:]), abs(edges[chosen])])
        rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-8)
        x, influence = np.concatenate([probabilities, np.zeros(len(chosen))]), np.zeros(edges.shape[1])
        while x.any():
            reached = x @ rows
            influence += reached
            x = np.concatenate([np.zeros(len(probabilities)), reached[chosen]])
        ranked = [f for f in np.argsort(-influence[:n], kind="stable") if f not in chosen]
        chosen += ranked[: min(update_every, budget - len(chosen))]
    return sorted(int(f) for f in chosen)


def total_effects(a: np.ndarray, activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(I - (A / activation)^T) effect = A^T weights, solved at once over all sources."""
    relative = np.zeros(a.shape)
    relative[: len(activations)] = a[: len(activations)] / activations[:, None]
    m = len(a) - len(weights)
    return np.linalg.solve((np.eye(len(a)) - relative.T), a.T @ start_at(a, weights))[:m]
