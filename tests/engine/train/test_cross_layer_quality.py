"""Figures of cross-layer transcoders against plain numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Source
from causeway.engine.train.quality import measure_quality

L, D, F = 3, 16, 10


@pytest.fixture
def corpus():
    rng = np.random.default_rng(0)
    return Corpus(rng.integers(0, 40, (9, 9)).astype(np.int32), rng.integers(3, 10, 9).astype(np.int32), first=1)


def make(width=D, **changes):
    rng = np.random.default_rng(1)

    def draw(*shape):
        return jnp.asarray(0.3 * rng.standard_normal(shape), jnp.float32)

    arrays = {"W_enc": draw(L, width, F), "b_enc": draw(L, F), "b_dec": draw(L, width)}
    config = DictionaryConfig("relu", tuple(range(L)), "mlp_in", write_stream="mlp_out")
    return CrossLayerTranscoder(config, W_dec=tuple(draw(F, L - i, width) for i in range(L)), **arrays | changes)


@pytest.mark.parametrize("skip", [False, True])
def test_figures_equal_plain_numpy(transformer, corpus, skip, counted):
    transcoder = make(**({"W_skip": make().W_enc[...] @ make().W_enc[...].swapaxes(1, 2)} if skip else {}))
    x, y = (Source(transformer, corpus, s, (0, 1, 2)).read(np.arange(9)) for s in ("mlp_in", "mlp_out"))
    f = np.asarray(transcoder.encode_all(x))
    error = y.astype(np.float64) - np.asarray(transcoder.reconstruct(x))
    counted.clear()
    measured = measure_quality(transformer, transcoder, corpus)
    assert counted == [1, 1]
    for i, figures in enumerate(measured):
        spread = ((y[i] - y[i].mean(0, dtype=np.float64)) ** 2).sum()
        assert figures.layer == i
        assert figures.tokens == x.shape[1] == corpus.counts.sum()
        assert figures.explained_variance == pytest.approx(1 - (error[i] ** 2).sum() / spread, rel=1e-4)
        assert figures.l0 == pytest.approx((f[i] != 0).sum(1).mean(), rel=1e-6)
        assert figures.dead == (~(f[i] != 0).any(0)).sum()
        relative = np.linalg.norm(error[i], axis=1) / np.linalg.norm(y[i], axis=1)
        assert figures.relative_error == pytest.approx(relative.mean(), rel=1e-4)
        assert figures.largest == pytest.approx(f[i].max(), rel=1e-5)
        assert figures.mean_active == pytest.approx(f[i][f[i] > 0].mean(), rel=1e-5)
        assert figures.loss_recovered is None


def test_bad_input_is_refused(transformer, corpus, refuses):
    with refuses("d_in is 8"):
        measure_quality(transformer, make(width=8), corpus)
    with refuses("no token that counts"):
        measure_quality(transformer, make(), Corpus(corpus.tokens, np.zeros(9, np.int32), 1))
