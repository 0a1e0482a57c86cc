import numpy as np

from causeway.engine.analyses.report.edge_shares import edge_shares


def paths(source, target, weight, probability):
    """The score of each edge, path by path: of an edge, the share it is of its target's input times the target's
    influence; of a node, the sum of the scores of the edges that leave it."""
    total = {t: sum(abs(w) for t2, w in zip(target, weight, strict=True) if t2 == t) for t in set(target)}

    def influence(node):
        return probability[node] + sum(score(e) for e in range(len(source)) if source[e] == node)

    def score(e):
        return abs(weight[e]) / total[target[e]] * influence(target[e])

    return np.array([score(e) for e in range(len(source))])


def test_shares_follow_the_paths_to_the_answers():
    source, target = np.array([0, 1, 0, 2, 1, 2, 3]), np.array([2, 2, 3, 3, 3, 4, 4])
    weight, probability = np.array([1.0, -3.0, 0.5, 2.0, 1.0, -0.7, 1.3]), np.array([0, 0, 0, 0, 0.8])
    layer = np.array([-1, -1, 0, 1, 2])
    shares = edge_shares(source, target, weight, layer, probability)
    scores = paths(source, target, weight, probability)
    order = np.argsort(-scores)
    np.testing.assert_allclose(shares[order], np.cumsum(scores[order]) / scores.sum())
    # A file that gives no probabilities: the nodes that drive no other are the answers.
    np.testing.assert_allclose(edge_shares(source, target, weight, layer, np.zeros(5)), shares)


def test_a_graph_without_edges_has_no_shares():
    none = np.array([], int)
    assert edge_shares(none, none, np.array([]), np.array([0]), np.array([1.0])).shape == (0,)
