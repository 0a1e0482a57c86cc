"""Tokens that features promote are those of their decoder rows through the last norm's gain and the unembedding."""

import jax
import numpy as np
import pytest

from causeway.engine.analyses.contexts import logit_weights as module
from causeway.engine.analyses.contexts.logit_weights import logit_weights


def dense(transformer, rows):
    """All weights in float64."""
    norm = transformer.final_norm
    rows = np.asarray(rows, np.float64)
    if transformer.config.norm == "layer":
        rows = rows - rows.mean(axis=-1, keepdims=True)
    embedding = transformer.embedding[...].T if transformer.config.tied_embeddings else transformer.unembedding[...]
    weights = (rows * np.asarray(norm.multiplier(), np.float64)) @ np.asarray(embedding, np.float64)
    return weights - weights.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize("kind", ["sae", "cross_layer"])
def test_they_are_the_extremes_of_all(tiny, cases, transformer, monkeypatch, kind):
    if kind == "sae":
        dictionary = tiny.make_dictionary("relu", layers=(0, 2), stream="resid_post")
        rows = np.asarray(dictionary.W_dec[...])[1]
    else:
        dictionary = jax.tree.map(lambda a: a.astype(np.float32), cases.make_dictionary(tiny, "cross_layer"))
        rows = np.asarray(dictionary.W_dec[1][...]).sum(axis=1)
    features, layer = np.array([0, 2, 3, 5, 6]), 2 if kind == "sae" else 1
    # Blocks of two features, the last of them filled up.
    monkeypatch.setattr(module, "_BLOCK_BYTES", 2 * 4 * transformer.config.vocab_size)
    found = logit_weights(transformer, dictionary, layer, features, 3)
    wanted = dense(transformer, rows[features])
    order = np.argsort(-wanted, axis=1, kind="stable")
    np.testing.assert_array_equal(found.promoted, order[:, :3])
    np.testing.assert_array_equal(found.suppressed, order[:, ::-1][:, :3])
    for weights, ids in ((found.up, found.promoted), (found.down, found.suppressed)):
        np.testing.assert_allclose(weights, np.take_along_axis(wanted, ids, 1), rtol=1e-4, atol=1e-6)


def test_what_is_not_added_to_the_stream_has_none(tiny, transformer):
    dictionary = tiny.make_dictionary("relu", layers=(0,), stream="mlp_in")
    assert logit_weights(transformer, dictionary, 0, np.arange(3), 3) is None
