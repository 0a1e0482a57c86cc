"""The report's figures against plain numpy, and at the dictionaries whose figures are known."""

import dataclasses

import numpy as np
import pytest
from flax import nnx

from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig, take
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.model.transformer import Transformer
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Source
from causeway.engine.train.quality import measure_quality, quality_table, rows_within
from causeway.engine.train.splice_loss import _loss, clean_loss

LAYERS = (2, 0)


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    return Corpus(rng.integers(0, 40, (21, 9)).astype(np.int32), rng.integers(3, 10, 21).astype(np.int32), first=1)


@pytest.fixture(scope="module")
def activations(transformer, corpus):
    return Source(transformer, corpus, "resid_post", LAYERS).read(np.arange(21))


def make(stream="resid_post", W_enc=None, b_dec=None, write_stream=""):
    """x -> the positive and negative parts of x W_enc, put together again with b_dec."""
    W_enc = np.broadcast_to(np.eye(16), (2, 16, 16)) if W_enc is None else W_enc
    b_dec = np.zeros((2, 16)) if b_dec is None else b_dec
    both = np.concatenate([W_enc, -W_enc], axis=2)
    arrays = {"W_enc": both, "b_enc": np.zeros((2, 32)), "W_dec": both.swapaxes(1, 2), "b_dec": b_dec}
    config = DictionaryConfig("relu", LAYERS, stream, write_stream=write_stream)
    return Dictionary(config, **{n: a.astype(np.float32) for n, a in arrays.items()})


def test_a_perfect_dictionary_recovers_everything(transformer, corpus, counted):
    for figures in measure_quality(transformer, make(), corpus):
        assert figures.explained_variance == pytest.approx(1, abs=1e-6)
        assert figures.relative_error < 1e-5
        assert figures.l0 == pytest.approx(16)
        assert figures.dead == 0
        assert figures.loss_recovered == pytest.approx(1, abs=1e-4)
        assert figures.loss_clean == pytest.approx(figures.loss_spliced, abs=1e-5)
        assert figures.loss_clean == pytest.approx(clean_loss(transformer, corpus), abs=1e-6)
    # 21 rows are two groups, each read twice and run once clean and three times a layer.
    assert counted == [1] * 18


def test_losses_cost_a_quarter_of_the_training():
    held_out = Corpus(np.zeros((100, 128), np.int32), np.full(100, 128, np.int32), first=1)
    assert rows_within(held_out, range(30), 20 * 1024) == 8
    rows = rows_within(held_out, range(30), 1200 * 1024)
    assert rows == 16
    assert rows * 128 * 91 <= 1200 * 1024 / 4 < 2 * rows * 128 * 91
    assert rows_within(held_out, range(3), 1200 * 1024) == 100
    assert rows_within(held_out.head(5), range(30), 1024) == 5


def test_a_short_text_is_measured_as_in_wide_rows(tiny, transformer, corpus):
    dictionary = tiny.make_dictionary(layers=LAYERS)
    few = corpus.head(3)
    wide = dataclasses.replace(few, tokens=np.pad(few.tokens, ((0, 0), (0, 23))))
    for one, other in zip(*(measure_quality(transformer, dictionary, text) for text in (few, wide)), strict=True):
        for name, value in one.as_dict().items():
            # Shares of small differences of losses round more than these.
            assert value == pytest.approx(other.as_dict()[name], rel=1e-3 if "recovered" in name else 1e-5), name
    assert clean_loss(transformer, wide) == pytest.approx(clean_loss(transformer, few), rel=1e-6)


def test_a_dictionary_that_knows_the_mean_alone_recovers_nothing(transformer, corpus, activations):
    nothing = make(W_enc=np.zeros((2, 16, 16)), b_dec=activations.mean(axis=1))
    for figures in measure_quality(transformer, nothing, corpus):
        assert figures.explained_variance == pytest.approx(0, abs=1e-5)
        assert (figures.l0, figures.dead, figures.features) == (0, 32, 32)
        assert figures.loss_recovered == pytest.approx(0, abs=1e-4)
        assert figures.loss_mean > figures.loss_clean
        assert figures.loss_recovered_from_zero == pytest.approx(
            (figures.loss_zero - figures.loss_mean) / (figures.loss_zero - figures.loss_clean), abs=1e-4
        )


def test_figures_equal_plain_numpy(tiny, transformer, corpus, activations):
    dictionary = tiny.make_dictionary(layers=LAYERS)
    for i, figures in enumerate(measure_quality(transformer, dictionary, corpus)):
        x, one = activations[i].astype(np.float64), take(dictionary, i)
        f = np.asarray(one.encode(activations[i]))
        error = x - np.asarray(one.decode(f))
        assert figures.layer == LAYERS[i]
        assert figures.tokens == len(x) == corpus.counts.sum()
        assert figures.explained_variance == pytest.approx(
            1 - (error**2).sum() / ((x - x.mean(0)) ** 2).sum(), rel=1e-4
        )
        assert figures.l0 == pytest.approx((f > 0).sum(1).mean(), rel=1e-6)
        assert figures.dead == (~(f > 0).any(0)).sum()
        relative = np.linalg.norm(error, axis=1) / np.linalg.norm(x, axis=1)
        assert figures.relative_error == pytest.approx(relative.mean(), rel=1e-4)
        assert figures.mean_active == pytest.approx(f[f > 0].mean(), rel=1e-5)
        assert figures.largest == pytest.approx(f.max(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"kind": "relu", "skip": True}, {"kind": "abstopk"}, {"kind": "topk_signed"}, {"input_norm": "layer_norm"}],
)
def test_transcoders_are_held_to_what_they_write(tiny, transformer, corpus, changes):
    dictionary = tiny.make_dictionary(layers=LAYERS, stream="mlp_in", write_stream="mlp_out", **changes)
    read, written = (Source(transformer, corpus, s, LAYERS).read(np.arange(21)) for s in ("mlp_in", "mlp_out"))
    for i, figures in enumerate(measure_quality(transformer, dictionary, corpus)):
        x, y, one = read[i], written[i].astype(np.float64), take(dictionary, i)
        f = np.asarray(one.encode(x))
        error = y - np.asarray(one.decode(f, x))
        expected = 1 - (error**2).sum() / ((y - y.mean(0)) ** 2).sum()
        assert figures.explained_variance == pytest.approx(expected, rel=1e-4)
        assert figures.l0 == pytest.approx((f != 0).sum(1).mean(), rel=1e-6)
        assert figures.largest == pytest.approx(abs(f).max(), rel=1e-5)
        assert figures.loss_spliced != figures.loss_clean


def test_a_transcoder_that_knows_the_mean_alone(transformer, corpus):
    written = Source(transformer, corpus, "mlp_out", LAYERS).read(np.arange(21))
    nothing = make("mlp_in", W_enc=np.zeros((2, 16, 16)), b_dec=written.mean(axis=1), write_stream="mlp_out")
    for figures in measure_quality(transformer, nothing, corpus):
        assert figures.explained_variance == pytest.approx(0, abs=1e-5)
        assert figures.loss_spliced == pytest.approx(figures.loss_mean, abs=1e-5)


def test_streams_that_cannot_be_spliced_have_no_cross_entropy(transformer, corpus):
    figures = measure_quality(transformer, make("head_out"), corpus)
    assert figures[0].loss_recovered is None
    assert figures[0].explained_variance == pytest.approx(1, abs=1e-6)
    assert quality_table(figures).splitlines()[3:] == ["-: a stream that is not replaced layer by layer"]


def test_bad_input_is_refused(transformer, corpus, refuses):
    with refuses("d_in is 16"):
        measure_quality(transformer, make("mlp_act"), corpus)
    with refuses("no token that counts"):
        measure_quality(transformer, make(), Corpus(corpus.tokens, np.zeros(21, np.int32), 1))


def test_a_loss_never_has_the_logits_of_all_rows_in_memory(transformer):
    config = dataclasses.replace(transformer.config, vocab_size=5000)
    model = Transformer(config, transformer.numerics, rngs=nnx.Rngs(0))
    tokens, lengths = np.zeros((16, 64), np.int32), np.full(16, 64, np.int32)
    taken = _loss.lower(model, tokens, lengths, 1, Instruments()).compile().memory_analysis().temp_size_in_bytes
    assert taken < tokens.size * 5000 * 4 / 3
