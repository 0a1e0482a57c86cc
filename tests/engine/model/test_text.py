"""Text and tokens meet in context: what continues a text has the tokens, and tokens the text, that it has after it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.model import text
from causeway.engine.model.handle import Model


class Pieces:
    """Greedy longest pieces, with a space put before the text and taken away again, as SentencePiece does; `<s>` is a
    token wherever it is written."""

    pieces = ("<s>", "</s>", " ", " b", "b", "e", "t", "bet", " bet", "s", " s", "top", "x", " x", ":", "A", " A")
    vocab_size, bos_id, eos_id, fingerprint = len(pieces), 0, 1, "pieces"

    def encode(self, text: str, unknown: bool = False) -> list[int]:
        special = text.startswith("<s>")
        rest = " " + text.removeprefix("<s>") if text.removeprefix("<s>") else ""
        ids = [0] if special else []
        while rest:
            found = [p for p in self.pieces if rest.startswith(p)]
            if not found:
                raise ValueError(f"prompt: {rest[0]!r} is not in the vocabulary")
            piece = max(found, key=len)
            ids, rest = [*ids, self.pieces.index(piece)], rest[len(piece) :]
        return ids

    def decode(self, ids) -> str:
        whole = "".join(self.pieces[i] for i in ids)
        return whole.removeprefix(" ")


TOKENIZER = Pieces()
WORDS = st.lists(st.sampled_from(["bet", "stop", "x", "A:", "A"]), min_size=1, max_size=5).map(" ".join)


@pytest.fixture(scope="module")
def model(transformer):
    return Model(transformer, TOKENIZER, "pieces", "f")


@given(before=WORDS, answer=WORDS)
def test_an_answer_has_the_tokens_it_has_in_the_whole_text(before, answer):
    own, [found] = text.continued(TOKENIZER, before, [" " + answer])
    assert own + found == TOKENIZER.encode(f"{before} {answer}")
    assert text.text_after(TOKENIZER, own, found) == " " + answer


@given(before=WORDS, answers=st.lists(WORDS, min_size=1, max_size=3))
def test_answers_after_text_and_after_its_ids_are_the_same(model, before, answers):
    spaced = [f" {answer}" for answer in answers]
    assert model.answer_tokens(model.tokens(before), spaced) == model.answer_tokens(before, spaced)


def test_an_answer_alone_would_have_other_tokens(model):
    ids = model.tokens("A:")
    assert TOKENIZER.encode(" bet") == [2, 8]
    assert model.answer_tokens(ids, [" bet"]) == model.answer_tokens("A:", [" bet"]) == [[8]]
    assert model.answer_tokens([0], ["bet"]) == [[8]]  # after BOS alone a text begins
    assert model.answer_token(ids, " bet") == 8


@given(WORDS)
def test_a_text_that_begins_with_bos_gets_no_second_one(model, words):
    assert model.tokens("<s>" + words) == model.tokens(words) == [0, *TOKENIZER.encode(words)]
    assert model.tokens(model.tokens(words)) == model.tokens(words)


@given(WORDS)
def test_the_texts_of_tokens_are_one_a_token_and_together_the_text(model, words):
    texts = model.to_str_tokens(words)
    assert len(texts) == len(model.tokens(words))
    assert "".join(texts) == "<s>" + words
    assert model.text_of(model.tokens(words)) == words


def test_what_is_drawn_is_read_after_the_prompt_without_the_models_own_stop(model, transformer):
    ids = model.tokens("A:")
    assert model.continuation(ids, [8, 1]) == " bet"
    assert model.continuation(ids, [8, 12]) == " betx"
    many = Model(transformer, TOKENIZER, "pieces", "f", own_stops=(1, 12))
    assert many.stop_ids == (1, 12)
    assert many.continuation(ids, [8, 12]) == " bet"
    assert Model(transformer, TOKENIZER, "pieces", "f").stop_ids == (1,)
    assert Model(transformer, None, "ids", "f").stop_ids == ()


def test_texts_that_cannot_continue_a_prompt_are_refused(model, transformer, refuses):
    with refuses("answers: 'et' merges with the end of the prompt"):
        model.answer_tokens("A: b", ["et"])
    with refuses("answers: ' no' after 'A:' has no tokens .*not in the vocabulary"):
        model.answer_tokens("A:", [" no"])
    with refuses("answers: got '139'; needs a list of texts"):
        model.answer_tokens("A:", "139")
    with refuses("answers: got \\[5\\]; needs a list of texts"):
        model.answer_tokens("A:", [5])
    with refuses("targets: ' stop' is 2 tokens after the prompt"):
        model.answer_token("A:", " stop")
    with refuses("answers: got text, but ids has no tokenizer"):
        Model(transformer, None, "ids", "f").answer_tokens([1], ["a"])


class Bytes:
    """Two tokens a character, of which neither is one."""

    vocab_size, bos_id, eos_id, fingerprint = 8, None, None, "bytes"

    def decode(self, ids) -> str:
        return "".join("é" if len(pair) == 2 else "\ufffd" for pair in (ids[i : i + 2] for i in range(0, len(ids), 2)))


def test_tokens_that_are_half_a_character_have_a_text_each():
    assert text.token_texts(Bytes(), [1, 2]) == ["\ufffd", "\ufffd"]
    assert text.text_after(Bytes(), [1], [2, 1, 2]) == "é\ufffd"
