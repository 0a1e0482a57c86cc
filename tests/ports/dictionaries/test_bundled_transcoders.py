"""The bundled model's transcoders stand for its MLPs on texts they were not trained on."""

import pytest

import causeway as cw
from causeway.engine.tasks import suite
from causeway.engine.train.corpus import make_corpus
from causeway.engine.train.quality import measure_quality


@pytest.mark.slow
def test_transcoders_of_the_bundled_model():
    model = cw.load_model("bundled:tiny")
    transcoders = cw.load_dictionaries("bundled:tiny/transcoders", for_model=model)
    assert transcoders.config.layers == (0, 1, 2, 3)
    assert (transcoders.config.stream, transcoders.config.output_stream) == ("mlp_in", "mlp_out")
    held_out = make_corpus(model, suite.texts("held_out", 60, seed=5), 64)
    for figures in measure_quality(model.transformer, transcoders, held_out, loss_rows=32):
        assert figures.explained_variance > 0.97
        assert 10 < figures.l0 < 25
        assert figures.loss_recovered > 0.9
