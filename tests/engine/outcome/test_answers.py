"""Answers as a tree of tokens: structure, scores against sums over listed paths, refusals."""

import numpy as np
import pytest

from causeway.engine.outcome.answers import Answer, answer_tree, score_answers

STOP, TEN, TWENTY, BET = (
    Answer("stop", "stop"),
    Answer("10", "bet", 10),
    Answer("20", "bet", 20),
    Answer("all", "bet", 55),
)
ANSWERS, LISTS = (STOP, TEN, TWENTY, BET), ([1], [2, 3, 4], [2, 3, 5], [2, 6])


@pytest.fixture
def tree():
    return answer_tree(9, ANSWERS, LISTS)


def test_shared_first_tokens_are_one_node(tree):
    assert tree.tokens.tolist() == [9, 2, 3]
    assert tree.parents.tolist() == [-1, 0, 1]
    assert tree.depths.tolist() == [0, 1, 2]
    assert tree.ancestors.tolist() == [[False] * 3, [True, False, False], [True, True, False]]
    assert tree.labels == ("stop", "bet")


def test_the_edges_of_a_path_spell_the_answer(tree):
    for ids, path in zip(LISTS, tree.paths, strict=True):
        assert tree.edges[list(path), 1].tolist() == ids
        nodes = tree.edges[list(path), 0]
        assert nodes[0] == 0
        assert tree.parents[nodes[1:]].tolist() == nodes[:-1].tolist()
    assert len(np.unique(tree.edges, axis=0)) == len(tree.edges)


def test_prompt_tokens_above_the_root_are_a_chain(tree):
    longer = tree.after([20, 21])
    assert longer.tokens.tolist() == [20, 21, 9, 2, 3]
    assert longer.parents.tolist() == [-1, 0, 1, 2, 3]
    assert longer.depths.tolist() == [0, 1, 2, 3, 4]
    assert longer.ancestors[2].tolist() == [True, True, False, False, False]
    assert longer.edges.tolist() == np.add(tree.edges, [2, 0]).tolist()
    assert longer.paths == tree.paths
    assert tree.after([]) is tree


def test_scores_are_sums_over_listed_paths(tree):
    p = np.random.default_rng(0).dirichlet(np.ones(5), (7, 3))
    edges = np.log([[row[node, token % 5] for node, token in tree.edges] for row in p])
    scores = score_answers(tree, np.pad(edges, ((0, 0), (0, 2)), constant_values=-1.0))
    for row in range(7):
        stop, ten = p[row, 0, 1], p[row, 0, 2] * p[row, 1, 3] * p[row, 2, 4]
        twenty, everything = p[row, 0, 2] * p[row, 1, 3] * p[row, 2, 0], p[row, 0, 2] * p[row, 1, 1]
        np.testing.assert_allclose(scores.probability[row], [stop, ten + twenty + everything], rtol=1e-12)
        expected = (10 * ten + 20 * twenty + 55 * everything) / (stop + ten + twenty + everything)
        np.testing.assert_allclose(scores.expected_amount[row], expected, rtol=1e-12)
        np.testing.assert_allclose(scores.invalid[row], 1 - scores.probability[row].sum(), rtol=1e-12)
        np.testing.assert_allclose(np.exp(scores.log_probability[row]), [stop, ten, twenty, everything], rtol=1e-12)
    assert scores.invalid.dtype == np.float64


def test_rounding_never_makes_a_negative_probability():
    tree = answer_tree(0, (STOP, BET), ([1], [2]))
    assert score_answers(tree, np.log([[0.5, 0.5 + 1e-12]])).invalid[0] == 0


@pytest.mark.parametrize(
    ("answers", "lists", "message"),
    [
        ((), (), "answers: empty"),
        ((STOP,), ([],), "'stop' has no tokens"),
        ((STOP, TEN), ([1, 2], [1, 2]), "'10' and 'stop' are the same tokens"),
        ((STOP, TEN), ([1], [1, 2]), "'stop' begins '10'"),
        ((TEN, STOP), ([1, 2, 3], [1, 2]), "'stop' begins '10'"),
    ],
)
def test_answers_without_a_probability_of_their_own_are_refused(refuses, answers, lists, message):
    with refuses(message):
        answer_tree(9, answers, lists)
