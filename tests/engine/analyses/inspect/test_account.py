"""Accounts agree with the arrays, and their pages fit a screen."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest

from causeway.engine.analyses.inspect.account import dictionary_account, loss_account, model_account
from causeway.engine.analyses.inspect.page import (
    card_page,
    dictionary_page,
    loss_page,
    model_page,
    places_page,
    quality_page,
)
from causeway.engine.analyses.inspect.sites import Fit, Places
from causeway.engine.analyses.inspect.trust import doubts, unknown_share
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.intervention.sites import Site
from causeway.engine.model.config import Numerics
from causeway.engine.model.handle import Model
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.quality import LayerQuality

FIGURES = LayerQuality(3, 100, 0.9, 12.0, 4, 24, 0.1, 1.5, 9.0)


@pytest.fixture
def model(transformer):
    return Model(transformer, None, "tiny", "fingerprint")


def test_model(model, transformer):
    account = model_account(model)
    leaves = jax.tree.leaves(transformer)
    assert account["parameters"] == sum(leaf.size for leaf in leaves)
    assert account["bytes"] == 4 * account["parameters"]
    assert sum(math.prod(shape) for shape in account["arrays"].values()) == account["parameters"]
    assert account["arrays"]["blocks.attention.qkv"][0] == transformer.config.num_layers
    assert account["shape"]["d_model"] == transformer.config.d_model
    assert json.loads(json.dumps(account)) == account


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2"])
def test_model_page(tiny, family):
    half = Numerics("bfloat16", "bfloat16", "float32")
    lines = model_page(model_account(Model(tiny.make_transformer(half, **tiny.FAMILIES[family]), None, "m", "f")))
    assert len(lines) < 20
    assert all(len(line) <= 120 for line in lines)
    assert "storage bfloat16" in lines[0]
    assert any("none; the model is used by token ids" in line for line in lines)
    assert (family == "gpt_neox") == any("parallel_blocks True" in line for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "jumprelu"}, {"kind": "topk", "input_norm": "layer_norm"},
        {"kind": "gated"}, {"kind": "relu", "stream": "mlp_in", "write_stream": "mlp_out", "skip": True},
    ],
)  # fmt: skip
def test_dictionaries(tiny, changes):
    dictionary = tiny.make_dictionary(**changes)
    account = dictionary_account(dictionary, {"format": "saelens", "card": {"l0": 20}})
    assert json.loads(json.dumps(account)) == account
    assert account["bytes"] == sum(leaf.nbytes for leaf in jax.tree.leaves(dictionary))
    norms = np.linalg.norm(dictionary.W_dec[...], axis=2)
    np.testing.assert_allclose(account["decoder_norms"], np.quantile(norms, [0, 0.5, 1], axis=1).T, rtol=1e-5)
    norms = np.linalg.norm(dictionary.W_enc[...], axis=1)
    np.testing.assert_allclose(account["encoder_norms"], np.quantile(norms, [0, 0.5, 1], axis=1).T, rtol=1e-5)
    assert (account["thresholds"] is not None) == (changes["kind"] == "jumprelu")
    lines = dictionary_page(account)
    assert all(len(line) <= 130 for line in lines)
    text = "\n".join(lines)
    assert "SAEs of 2 layers (0,2), resid_post" in text or "transcoders of 2 layers (0,2), mlp_in -> mlp_out" in text
    assert "format: saelens" in text
    assert "card: l0 20" in text
    assert ("each input is normalised: layer_norm" in text) == ("input_norm" in changes)


def test_cross_layer_transcoders():
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jax.numpy.asarray(rng.standard_normal(shape), "float32")

    config = DictionaryConfig("relu", (0, 1, 2), "mlp_in", write_stream="mlp_out")
    transcoder = CrossLayerTranscoder(
        config,
        W_enc=draw(3, 4, 6),
        b_enc=draw(3, 6),
        W_dec=(draw(6, 3, 4), draw(6, 2, 4), draw(6, 1, 4)),
        b_dec=draw(3, 4),
    )
    account = dictionary_account(transcoder)
    norms = np.linalg.norm(np.asarray(transcoder.W_dec[0][...]).reshape(6, -1), axis=1)
    np.testing.assert_allclose(account["decoder_norms"][0], np.quantile(norms, [0, 0.5, 1]), rtol=1e-5)
    assert "cross-layer transcoders of 3 layers (0-2), mlp_in -> mlp_out, relu" in dictionary_page(account)[0]


def test_loss_against_guessing(model):
    tokens = np.random.default_rng(0).integers(0, 40, (3, 9)).astype(np.int32)
    account = loss_account(model, Corpus(tokens, np.full(3, 9, np.int32), 1))
    assert account["guessing"] == pytest.approx(math.log(model.config.vocab_size))
    assert account["tokens"] == 24
    assert "no better on this text than guessing" in loss_page(account | {"loss": 99.0})[1]
    assert "24 tokens, of 500 needed" in loss_page(account | {"loss": 1.0})[1]
    assert len(loss_page(account | {"loss": 1.0, "tokens": 500})) == 1


def test_unknown_parts_are_counted_where_tokens_count():
    corpus = Corpus(np.array([[1, 5, 7, 5], [5, 7, 7, 5]], np.int32), np.array([4, 3], np.int32), 1)
    assert unknown_share(corpus, 5) == pytest.approx(2 / 5)
    assert unknown_share(corpus, None) == 0
    assert [len(doubts({"loss": 1.0, "guessing": 2.0, "tokens": 500, "unknown": share})) for share in (0.1, 0.2)] == [
        0,
        1,
    ]


def test_a_card_that_says_otherwise():
    other = dataclasses.replace(FIGURES, layer=4, l0=50.0)
    assert card_page({"l0": 12}, [FIGURES]) == card_page({}, [FIGURES]) == card_page({"top_k": 20}, [FIGURES]) == []
    (line,) = card_page({"l0": 12}, [FIGURES, other])
    assert line.startswith("  layer 4: L0 is 50.0 on this text, the card says 12")
    assert card_page({"l0": [12, 50]}, [FIGURES, other]) == []
    assert len(card_page({"l0": [50, None]}, [FIGURES, other])) == 1


def test_measured_pages():
    whole = dataclasses.replace(FIGURES, loss_clean=1.0, loss_spliced=1.5, loss_mean=3.0, loss_zero=6.0)
    head, first, second = quality_page([whole, FIGURES])
    assert head.split()[-1] == "recovered"
    assert first.split()[-4:] == ["1.0000", "1.5000", "6.0000", "0.9000"]
    assert "no reconstruction can be put in place" in second
    fit = Fit(0.1, Site(3, "resid_post"), Site(3, "resid_post"))
    assert places_page([Places(3, fit, (fit,))]) == ["  layer 3: resid_post.3 is the right place (10 % unexplained)"]
