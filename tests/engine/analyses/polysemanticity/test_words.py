"""Words: one, several alike, and unrelated ones; cosines without the lexicon are those with it; random directions."""

import numpy as np
import pytest

from causeway.engine.analyses.polysemanticity.polysemanticity import mean_rank
from causeway.engine.analyses.polysemanticity.words import LayerWords, chance, spread, word_scores


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_equal_words_score_their_number_and_orthogonal_ones_have_no_coherence():
    coefficient = np.array([[1.0, 0, 0], [0.5, -0.5, 0], [2, 2, 2]])
    words, coherence = spread(coefficient, coefficient @ np.eye(3, 7))
    np.testing.assert_allclose(words, [1, 2, 3])
    np.testing.assert_allclose(coherence, [np.nan, 0, 0], atol=1e-12)


def test_coherence_is_the_weighted_mean_cosine_of_words_as_they_are_used():
    rng = np.random.default_rng(0)
    atoms, c = unit(rng.normal(size=(5, 8))), rng.normal(size=5)
    used = np.sign(c)[:, None] * atoms
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    weights = [abs(c[i] * c[j]) for i, j in pairs]
    expected = np.average([used[i] @ used[j] for i, j in pairs], weights=weights)
    np.testing.assert_allclose(spread(c[None], (c @ atoms)[None])[1], [expected])


def test_words_of_one_meaning_are_coherent():
    atoms = unit(np.ones((4, 6)) + 0.01 * np.random.default_rng(1).normal(size=(4, 6)))
    assert spread(np.ones((1, 4)), np.ones((1, 4)) @ atoms)[1][0] > 0.999


def test_random_directions_over_an_orthogonal_lexicon_spread_as_gaussian_coordinates_do():
    words, coherence = chance(np.eye(40, dtype=np.float32), 40, 0)
    assert words == pytest.approx(40 / 3 * 1.06, rel=0.15)
    assert coherence == pytest.approx(0, abs=1e-5)


def test_neurons_without_a_decomposition_have_none():
    own = LayerWords(np.array([5, 2]), np.array([[1.0, 1], [1, 0]]), np.array([[1.0, 1], [1, 0]]), ("a, b", "a"))
    found = word_scores(own, np.array([2, 7, 5]), (3.0, 0.1))
    np.testing.assert_allclose(found["words"], [1, np.nan, 2])
    np.testing.assert_allclose(found["words_null"], [3, np.nan, 3])
    assert found["texts"].tolist() == ["a", "", "a, b"]


def test_mean_ranks_are_of_what_is_known():
    nan = np.nan
    found = mean_rank({"a": np.array([1.0, 2, 3, nan]), "b": np.array([5.0, nan, 1, nan])})
    np.testing.assert_allclose(found, [0.5, 0.5, 0.5, nan])
