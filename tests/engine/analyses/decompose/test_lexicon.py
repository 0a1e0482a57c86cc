"""Vectors of lexicons are centred columns of the unembedding or states of definitions; what has none is told."""

import dataclasses

import jax
import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.decompose.definitions import definition_lexicon
from causeway.engine.analyses.decompose.lexicon import REPEATED, UNKNOWN, centred_columns, word_ids


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


def column(model, token):
    """The unembedding column of a token, less the mean of all."""
    matrix = np.asarray(model.transformer.embedding[...], np.float64)
    return matrix[token] - matrix.mean(axis=0)


def test_inner_products_with_a_vector_are_logits_less_their_mean(model):
    found = cw.lexicon(model)
    x = np.random.default_rng(0).standard_normal(128).astype(np.float32)
    logits = np.asarray(model.transformer.logits(x[None]), np.float64)[0]
    wanted = [logits[model.tokenizer.encode(text)[0]] - logits.mean() for text in found.texts]
    np.testing.assert_allclose(found.vectors @ x, wanted, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.atoms, axis=1), 1, rtol=1e-6)


def test_special_tokens_are_left_out_and_told(model):
    found = cw.lexicon(model)
    assert found.left_out == {"special tokens": ["<s>", "</s>", "<unk>"]}
    assert len(found.texts) == 243
    assert found.told() == ["3 special tokens: '<s>', '</s>', '<unk>'"]
    assert (found.kind, found.fingerprint) == ("tokens", model.fingerprint)


class Pieces:
    """Characters; b is special, c half a character, and the vocabulary ends before the model's."""

    vocab_size, bos_id, eos_id, special_ids, fingerprint = 38, 1, None, frozenset({1}), "pieces"

    def encode(self, text, unknown=False):
        return [ord(c) - ord("a") for c in text if c != " "]

    def decode(self, ids):
        return "".join("�" if i == 2 else "" if i == 3 else chr(ord("a") + i) for i in ids)


def test_tokens_that_are_no_text_and_columns_beyond_the_vocabulary_are_left_out(transformer):
    embedding = transformer.embedding[...].at[4].set(transformer.embedding[...].mean(axis=0))
    # The mean moves with the row; twice is enough for a column that is rounding.
    for _ in range(40):
        embedding = embedding.at[4].set(embedding.mean(axis=0))
    other = jax.tree.map(lambda leaf: leaf, transformer)
    other.embedding[...] = embedding
    found = cw.lexicon(cw.Model(other, Pieces(), "small", identity="small"))
    assert found.left_out == {
        "special tokens": ["b"],
        "tokens that are no text": ["id 2", "id 3"],
        "tokens without a direction": ["e"],
        "columns beyond the tokenizer's vocabulary": ["id 38", "id 39"],
    }
    assert len(found.texts) == 34


def test_an_untied_unembedding_is_read_by_columns(tiny):
    transformer = tiny.make_transformer(tied_embeddings=False)
    found = centred_columns(cw.Model(transformer, None, "small", identity="small"))
    wanted = np.asarray(transformer.unembedding[...]).T
    np.testing.assert_allclose(found, wanted - wanted.mean(axis=0), atol=1e-6)


def test_a_word_has_its_tokens_mean_or_its_first_token(model):
    words = ["win", "12", "river", "the"]
    mean, first = cw.lexicon(model, words), cw.lexicon(model, words, vectors="first")
    ids = [word_ids(model.tokenizer, word) for word in words]
    # With the space before it, where the vocabulary has both.
    assert [model.text_of(i) for i in ids] == [" win", "12", " river", " the"]
    for row, tokens in enumerate(ids):
        np.testing.assert_allclose(mean.vectors[row], np.mean([column(model, t) for t in tokens], axis=0), atol=1e-6)
        np.testing.assert_allclose(first.vectors[row], column(model, tokens[0]), atol=1e-6)
    assert (mean.kind, first.kind, mean.texts) == ("mean", "first", tuple(words))


def test_words_that_are_unknown_or_come_again_are_left_out_and_told(model):
    found = cw.lexicon(model, ["win", "theorem", "12", "13", "win ", "lemma", "river"], vectors="first")
    assert found.texts == ("win", "12", "river")
    assert found.left_out == {UNKNOWN: ["theorem", "lemma"], REPEATED: ["13"]}
    with pytest.raises(ValueError, match=r"lexicon: 0 texts can be used, needs two or more; left out: words that the "):
        cw.lexicon(model, ["theorem", "lemma"])
    with pytest.raises(ValueError, match="lexicon: 1 texts can be used"):
        cw.lexicon(model, ["theorem", "win"])


def test_definitions_are_states_after_the_template_less_their_mean(model):
    words = ["win", "loss", "theorem", "game"]
    found = cw.lexicon(model, words, vectors="definitions", definition="WORD:")
    assert found.texts == ("win", "loss", "game")
    assert found.left_out == {UNKNOWN: ("theorem",)}
    # Words that the vocabulary has with a space alone are run with one.
    prompts = [" win:", " loss:", "game:"]
    states = np.stack([cw.run(model, p, taps=[cw.Tap("final_norm")])["final_norm"][0][-1] for p in prompts])
    np.testing.assert_allclose(found.vectors, states - states.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("template", ["means", "WORD WORD", "", 5])
def test_a_template_without_one_word_is_refused(model, template):
    with pytest.raises(ValueError, match=r"definition: got .*; needs a text in which WORD stands once"):
        definition_lexicon(model, ["win", "loss"], template)


@pytest.mark.parametrize("words", [[], "win", ["win", 5], ["win", " "], 5])
def test_what_is_no_list_of_words_is_refused(model, words):
    with pytest.raises(ValueError, match="words: needs 'tokens', or a list of words and phrases"):
        cw.lexicon(model, words)


def test_a_model_without_a_tokenizer_has_no_lexicon(transformer):
    model = cw.Model(transformer, None, "small", identity="small")
    for words, vectors in (("tokens", "mean"), (["a", "b"], "mean"), (["a", "b"], "definitions")):
        with pytest.raises(ValueError, match="lexicon: small has no tokenizer"):
            cw.lexicon(model, words, vectors=vectors)


def test_vectors_that_are_no_directions_are_refused(model):
    found = cw.lexicon(model, ["win", "loss"])
    for bad in (np.nan, 0):
        with pytest.raises(ValueError, match="lexicon: a vector is 0 or not finite"):
            dataclasses.replace(found, vectors=found.vectors * bad)
