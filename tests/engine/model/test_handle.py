"""The handle's policy about tokens: BOS for text, ids unchanged, one-line refusals."""

import pytest

from causeway.engine.model.handle import Model


class Letters:
    """a is 1, b is 2, ...; BOS is 0."""

    vocab_size, bos_id, eos_id, fingerprint = 27, 0, None, "letters"

    def encode(self, text: str) -> list[int]:
        return [ord(c) - 96 for c in text]

    def decode(self, ids) -> str:
        return "".join(chr(i + 96) for i in ids)


@pytest.fixture(scope="module")
def model(transformer):
    return Model(transformer, Letters(), "letters", "f")


def test_text_gets_the_bos_token_and_ids_pass_unchanged(model, transformer, tiny):
    assert model.tokens("abc") == [0, 1, 2, 3]
    assert model.tokens([5, 5]) == [5, 5]
    assert Model(transformer, Letters(), "letters", "f", prepend_bos=False).tokens("abc") == [1, 2, 3]
    assert model.config == tiny.CONFIG
    assert model.numerics == transformer.numerics


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "has no tokens"),
        ([], "has no tokens"),
        ([1, 40], "token id 40 is outside the vocabulary of letters"),
        ([-1], "token id: got -1; needs a whole number"),
        ([1] * 65, "65 tokens, but the context of letters is 64"),
    ],
)
def test_prompts_that_cannot_be_run_are_refused(model, refuses, prompt, message):
    with refuses(message):
        model.tokens(prompt)


def test_a_long_text_is_cut_where_it_is_asked_for(model, refuses):
    with refuses(r"65 tokens, but the context of letters is 64; shorten it .*truncate=64\) keeps the first ones"):
        model.tokens("a" * 64)
    assert model.tokens("ab" * 50, truncate=64) == [0, *[1, 2] * 31, 1]
    assert model.tokens("abc", truncate=2) == [0, 1]
    assert model.tokens([1] * 100, truncate=3) == [1] * 3
    assert model.tokens("abc", truncate=64) == model.tokens("abc")
    for truncate in (0, -1, 1.5, True):
        with refuses("truncate: got"):
            model.tokens("abc", truncate=truncate)


def test_text_without_a_tokenizer_is_refused(transformer, refuses):
    with refuses("has no tokenizer"):
        Model(transformer, None, "ids", "f").tokens("abc")
