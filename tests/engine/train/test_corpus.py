"""Rows of tokens hold the texts and nothing else."""

import numpy as np
import pytest

from causeway.engine.model.handle import Model
from causeway.engine.train.batches import join_documents
from causeway.engine.train.corpus import make_corpus, split_texts

TEXTS = ["abcdefghij", "k", "lmnop"]


class Letters:
    """a = 3, b = 4, ...; <bos> = 1, <eos> = 2."""

    vocab_size, bos_id, eos_id, fingerprint = 40, 1, 2, "letters"

    def encode(self, text, unknown=False):
        return [ord(letter) - ord("a") + 3 for letter in text]

    def decode(self, ids):
        return "".join(chr(i + ord("a") - 3) for i in ids)


@pytest.fixture
def model(transformer):
    return Model(transformer, Letters(), "letters", "0")


def test_documents_never_share_a_row_and_begin_with_bos(model):
    corpus = make_corpus(model, TEXTS, length=5)
    rows = [t[:n].tolist() for t, n in zip(corpus.tokens, corpus.lengths, strict=True)]
    assert all(row[0] == 1 for row in rows)
    assert [Letters().decode(row[1:]) for row in rows] == ["abcd", "efgh", "ij", "k", "lmno", "p"]
    assert corpus.first == 1
    assert corpus.counts.sum() == len("".join(TEXTS))


def test_a_trimmed_corpus_has_the_same_tokens_in_a_pass_no_wider_than_needed(model):
    wide = make_corpus(model, TEXTS, length=40)
    short = wide.trimmed(64)
    assert (wide.tokens.shape, short.tokens.shape) == ((3, 40), (3, 16))
    for one, other, length in zip(wide.tokens, short.tokens, wide.lengths, strict=True):
        np.testing.assert_array_equal(one[:length], other[:length])
    assert short.trimmed(64).tokens.shape == (3, 16)
    assert make_corpus(model, TEXTS, length=9).trimmed(64).tokens.shape[1] == 9


class Marked(Letters):
    """`<` is written for <bos>, `>` for <eos>."""

    def encode(self, text, unknown=False):
        return [{"<": 1, ">": 2}.get(letter) or ord(letter) - ord("a") + 3 for letter in text]


@pytest.mark.parametrize("layout", ["documents", "packed"])
def test_a_text_that_brings_bos_and_eos_gets_no_second_ones(transformer, layout):
    model = Model(transformer, Marked(), "marked", "0")
    plain, marked = (make_corpus(model, texts, 5, layout) for texts in (TEXTS, [f"<{text}" for text in TEXTS]))
    np.testing.assert_array_equal(marked.tokens, plain.tokens)
    if layout == "packed":
        np.testing.assert_array_equal(make_corpus(model, [f"{t}>" for t in TEXTS], 5, layout).tokens, plain.tokens)
    bare = Model(transformer, Marked(), "marked", "0", prepend_bos=False)
    assert make_corpus(bare, ["<abc"], 5).tokens[0].tolist() == [1, 3, 4, 5, 0]


def test_position_0_does_not_count_without_bos_either(transformer):
    bare = Model(transformer, Letters(), "bare", "0", prepend_bos=False)
    corpus = make_corpus(bare, ["abcdef", "g"], 5)
    assert (corpus.first, corpus.counts.tolist()) == (1, [4])  # `f` and `g` stand at position 0 alone
    assert make_corpus(bare, ["abcdef", "g"], 5, include_first=True).counts.tolist() == [5, 1, 1]


def test_joined_documents_have_one_of_each():
    plain = join_documents(TEXTS, Marked())
    np.testing.assert_array_equal(join_documents([f"<{text}>" for text in TEXTS], Marked()), plain)
    assert plain[:2].tolist() == [1, 3]


def test_packed_rows_are_full_but_for_the_last(model):
    corpus = make_corpus(model, TEXTS, length=5, layout="packed", include_first=True)
    assert (corpus.lengths[:-1] == 5).all()
    joined = [i for t, n in zip(corpus.tokens, corpus.lengths, strict=True) for i in t[1:n].tolist()]
    assert joined == [i for text in TEXTS for i in (*Letters().encode(text), 2)]
    assert corpus.first == 0


def test_the_fingerprint_knows_tokens_and_what_counts(model):
    prints = {make_corpus(model, t, 5, include_first=b).fingerprint for t in (TEXTS, TEXTS[:2]) for b in (True, False)}
    assert len(prints) == 4


def test_held_out_texts_are_disjoint_and_always_the_same():
    texts = [str(i) for i in range(50)]
    training, held_out = split_texts(texts)
    assert len(held_out) == 5
    assert sorted(training + held_out) == sorted(texts)
    assert split_texts(texts)[1] == held_out


def test_bad_input_is_refused(model, transformer, refuses):
    with refuses("length: got 65"):
        make_corpus(model, TEXTS, length=65)
    with refuses("no tokens"):
        make_corpus(model, [""], length=5)
    with refuses("no tokenizer"):
        make_corpus(Model(transformer, None, "bare", "0"), TEXTS, length=5)
    with refuses("one side empty"):
        split_texts(["only"])
    assert np.issubdtype(make_corpus(model, TEXTS, length=5).tokens.dtype, np.int32)
