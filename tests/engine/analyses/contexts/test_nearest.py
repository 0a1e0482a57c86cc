"""Features that write alike are those of the largest cosines, without the feature itself."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from causeway.engine.analyses.contexts import nearest as module
from causeway.engine.analyses.contexts.nearest import nearest_features


@pytest.mark.parametrize("kind", ["sae", "cross_layer"])
def test_they_are_the_largest_cosines(tiny, cases, monkeypatch, kind):
    if kind == "sae":
        dictionary = tiny.make_dictionary("relu", layers=(0, 1), stream="resid_post")
        rows = np.asarray(dictionary.W_dec[...], np.float64)[1]
    else:
        dictionary = jax.tree.map(lambda a: a.astype(np.float32), cases.make_dictionary(tiny, "cross_layer"))
        rows = np.asarray(dictionary.W_dec[1][...], np.float64)
        rows = rows.reshape(len(rows), -1)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 2 * 4 * len(rows))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    features = np.array([1, 2, 5])
    ids, found = nearest_features(dictionary, 1, features, 3)
    np.testing.assert_array_equal(ids, np.argsort(-cosines[features], axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(found, np.take_along_axis(cosines[features], ids, 1), rtol=1e-5, atol=1e-6)


def test_a_row_of_zeros_is_like_none(tiny):
    dictionary = tiny.make_dictionary("relu", layers=(0,), stream="resid_post")
    dictionary.W_dec[...] = dictionary.W_dec[...].at[0, 2].set(0)
    _, found = nearest_features(dictionary, 0, np.array([2]), 2)
    np.testing.assert_array_equal(found, 0)


def test_a_feature_alone_has_none():
    alone = SimpleNamespace(arrays_at=lambda layer: {"W_dec": np.ones((1, 8), np.float32)})
    ids, cosines = nearest_features(alone, 0, np.array([0]))
    assert ids.shape == cosines.shape == (1, 0)
