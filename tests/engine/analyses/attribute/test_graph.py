"""Pruning, scores and total effects: by hand on a small graph, against dense numpy on random ones."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from causeway.engine.analyses.attribute.graph import AttributionGraph, Logit


def make_graph(edges, features, tokens, layers, probabilities, activations=None) -> AttributionGraph:
    matrix = csr_array(np.asarray(edges, np.float64))
    return AttributionGraph(
        tokens=tuple(range(tokens)), num_layers=layers, features=np.asarray(features),
        activations=np.ones(len(features)) if activations is None else activations,
        logits=tuple(Logit(str(i), i, p) for i, p in enumerate(probabilities)),
        edges=matrix, totals=abs(matrix).sum(axis=1), active=len(features),
    )  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """token -> f1 -> f2 -> logit with two errors; columns f1, f2, e0, e1, token."""
    rows = [
        [0, 0, 0, 0, 3],  # f1
        [2, 0, -1, 0, 1],  # f2
        [-1, 4, 0, 2, 1],  # logit
    ]
    return make_graph(
        rows, [[0, 0, 4], [1, 0, 9]], tokens=1, layers=2, probabilities=[1.0], activations=np.array([2, 4])
    )


def random_graph(seed: int, density: float = 0.6) -> AttributionGraph:
    """Three layers of features at three tokens; layer l is explained by what lies below it."""
    rng = np.random.default_rng(seed)
    features = sorted({tuple(f) for f in rng.integers(0, [3, 3, 50], size=(14, 3)).tolist()})
    n, layer = len(features), np.array([*(f[0] for f in features), *np.repeat(np.arange(3), 3), -1, -1, -1])
    target = np.array([*(f[0] for f in features), 3, 3])
    edges = rng.normal(size=(n + 2, n + 12)) * (rng.random((n + 2, n + 12)) < density)
    edges *= layer[None, :] < target[:, None]
    return make_graph(edges, features, 3, 3, [0.6, 0.25], rng.random(n) + 0.1)


def test_scores_are_the_fractions_computed_by_hand(small):
    # Influence: f2 1/2, f1 1/8 + 1/2 1/2, e1 1/4, e0 1/2 1/4, token 1/8 + 1/2 1/4 + 3/8.
    replacement, completeness = small.scores()
    assert replacement == pytest.approx(5 / 8, abs=1e-15)
    # Errors explain 1/4 of f2 (worth 1/2) and 1/4 of the logit (worth 1); everything together is worth 23/8.
    assert completeness == pytest.approx(20 / 23, abs=1e-15)


def test_pruning_keeps_the_fractions_computed_by_hand(small):
    # Of 15 parts: token 5, f2 4, f1 3, e1 2, e0 1. Without errors the edges weigh, of 41 parts: f2 -> logit 12,
    # token -> f1 11, f1 -> f2 8, token -> f2 4, f1 -> logit 3, token -> logit 3.
    pruned = small.prune(node_threshold=0.7, edge_threshold=0.75)
    np.testing.assert_allclose(pruned.kept.cumulative, np.array([12, 9, 15, 14, 5]) / 15, atol=1e-15)
    np.testing.assert_array_equal(pruned.kept.columns, [True, True, False, False, True])
    np.testing.assert_array_equal(pruned.edges.toarray(), [[0, 0, 0, 0, 3], [2, 0, 0, 0, 0], [0, 4, 0, 0, 0]])
    np.testing.assert_array_equal(pruned.features, [[0, 0, 4], [1, 0, 9]])
    four = small.prune(node_threshold=0.7, edge_threshold=0.8)
    np.testing.assert_array_equal(four.edges.toarray(), [[0, 0, 0, 0, 3], [2, 0, 0, 0, 1], [0, 4, 0, 0, 0]])


def test_a_feature_that_nothing_reads_takes_its_own_edges_with_it(small):
    # 12 of 41 parts: f2 -> logit alone is kept; f2 has no input left, so it goes, and the edge with it.
    pruned = small.prune(node_threshold=0.7, edge_threshold=0.25)
    assert pruned.edges.nnz == 0
    np.testing.assert_array_equal(pruned.kept.columns, [False, False, False, False, True])


def test_total_effects_are_sums_over_paths(small):
    # f2: 4. f1: -1 + 2 / 4 4. e0: -1 / 4 4. e1: 2. token: 1 + 1 / 4 4 + 3 / 2 (what f1 does in all).
    np.testing.assert_allclose(small.total_effects(), [1, 4, -1, 2, 3.5], atol=1e-15)
    np.testing.assert_allclose(small.total_effects([-2.0]), [-2, -8, 2, -4, -7], atol=1e-15)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("thresholds", [(0.8, 0.98), (0.5, 0.6), (0.95, 0.3), (0.999, 0.999), (1.0, 1.0)])
def test_pruning_is_that_of_the_dense_definition(plain_graph, seed, thresholds):
    graph = random_graph(seed, density=(0.6, 0.25)[seed % 2])
    n, dense = len(graph.features), graph.dense()
    nodes, edges, cumulative = plain_graph.prune(dense, n, 3, graph.probabilities, *thresholds)
    pruned = graph.prune(*thresholds)
    m = len(dense) - 2
    np.testing.assert_array_equal(pruned.kept.columns, nodes[:m])
    kept = pruned.edges.toarray()
    np.testing.assert_array_equal(kept != 0, np.concatenate([edges[:n, :m], edges[m:, :m]]))
    np.testing.assert_array_equal(kept[kept != 0], graph.edges.toarray()[kept != 0])
    # Among nodes of equal influence (none at all) the order is free.
    influential = np.flatnonzero(plain_graph.path_influence(
        plain_graph.normalised(dense), plain_graph.start_at(dense, graph.probabilities)
    )[:m])  # fmt: skip
    np.testing.assert_allclose(pruned.kept.cumulative[influential], cumulative[influential], atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_scores_and_total_effects_are_those_of_the_dense_definition(plain_graph, seed):
    graph = random_graph(seed)
    dense = graph.dense()
    expected = plain_graph.scores(dense, len(graph.features), 3, graph.probabilities)
    np.testing.assert_allclose(graph.scores(), expected, atol=1e-12)
    for weights in (graph.probabilities, np.array([1.0, -1.0])):
        effects = plain_graph.total_effects(dense, graph.activations, weights)
        np.testing.assert_allclose(graph.total_effects(weights), effects, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("node_threshold", [0.8, 1.0])
def test_all_influence_keeps_exactly_the_edges_there_are_among_kept_nodes(seed, node_threshold):
    graph = random_graph(seed, density=0.4)
    pruned = graph.prune(node_threshold, edge_threshold=1.0)
    rows = np.concatenate([pruned.kept.columns[: len(graph.features)], [True, True]])
    inside = graph.edges.toarray() * rows[:, None] * pruned.kept.columns[None, :]
    assert (inside != 0).sum() > 10
    np.testing.assert_array_equal(pruned.edges.toarray(), inside)


def test_all_influence_keeps_what_is_too_small_to_change_a_sum():
    """Edges of 1e-17 of the whole do not show in a running sum; at threshold 1 they stay all the same."""
    rows = [[0, 0, 0, 0, 1], [1e-9, 0, 0, 0, 1], [1, 1e-9, 0, 0, 1]]
    graph = make_graph(rows, [[0, 0, 0], [1, 0, 0]], tokens=1, layers=2, probabilities=[1.0])
    pruned = graph.prune(node_threshold=1.0, edge_threshold=1.0)
    np.testing.assert_array_equal(pruned.edges.toarray(), rows)
    np.testing.assert_array_equal(pruned.kept.columns, [True, True, False, False, True])


def test_thresholds_are_shares(small, refuses):
    for thresholds in ((0.0, 0.5), (0.5, 1.5), (-1.0, 0.5), (0.5, 0.0), (float("nan"), 0.5)):
        with refuses("threshold: got"):
            small.prune(*thresholds)


def test_dense_puts_logits_behind_tokens(small):
    dense = small.dense()
    assert dense.shape == (6, 6)
    np.testing.assert_array_equal(dense[[0, 1, 5], :5], small.edges.toarray())
    assert not dense[2:5].any()
    assert not dense[:, 5].any()


def test_looking_at_a_pruned_graph_leaves_the_whole_one_as_it_was(small):
    before = small.dense()
    for _ in range(2):
        assert small.prune(0.7, 0.8).edges.nnz == 4
    np.testing.assert_array_equal(small.dense(), before)
