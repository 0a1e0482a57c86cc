"""Trials with hooks record every block at every pass, and set the feature that they say."""

import numpy as np
import pytest

from causeway.engine.model.config import ModelConfig

pytest.importorskip("torch")
pytest.importorskip("transformers")

TOKENS, FEATURES, ROWS = 3, 8, 4


def test_records_and_the_feature_set():
    from causeway.ports.models.torch_trials import HookedTrials

    config = ModelConfig("llama", 3, 16, 2, 1, 8, 32, 20, max_position=16)
    trials = HookedTrials(config, FEATURES, 5, TOKENS, 1)
    # Columns that do not overlap: what is set is what is read.
    trials.encoder[1] = trials.torch.eye(16)[:, :FEATURES]
    trials.decoder[1] = trials.torch.eye(16)[:FEATURES]
    assert trials.rate(ROWS, 1) > 0
    for kept in trials.recorded:
        assert [values.shape for values in kept] == [(ROWS, FEATURES)] * TOKENS
    for values in trials.recorded[1]:
        own = values[np.arange(ROWS), np.arange(ROWS)]
        # An inactive feature keeps its small pre-activation below what is added.
        assert np.all(np.abs(own - 8.0) < 0.5)
