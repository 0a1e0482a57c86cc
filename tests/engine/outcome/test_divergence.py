"""Answers are told apart by the first token in which they differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.model.handle import Model
from causeway.engine.outcome.divergence import diverging_answers, first_divergence

TOKENS = st.lists(st.integers(0, 5), max_size=4)


@given(prompt=TOKENS, shared=TOKENS, first=st.permutations(range(6)), count=st.integers(2, 6), rest=TOKENS)
def test_the_shared_tokens_join_the_prompt_and_the_next_tells_apart(prompt, shared, first, count, rest):
    found = first_divergence(prompt, [[*shared, token, *rest] for token in first[:count]])
    assert found.prompt == (*prompt, *shared)
    assert found.shared == len(shared)
    assert found.tokens == tuple(first[:count])


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([[1, 2]], "answers: got 1; needs two or more"),
        ([[1, 2], [1, 2]], "has no token of its own after the 2 it shares"),
        ([[1], [1, 2]], "number 0 .* has no token of its own after the 1"),
        ([[], [1]], "never diverge"),
        ([[1, 2], [1, 3, 4], [1, 3, 5]], "token 3 follows the 1 shared ones in more than one answer"),
    ],
)
def test_answers_that_cannot_be_told_apart_are_refused(refuses, answers, message):
    with refuses(message):
        first_divergence([7], answers)


@pytest.fixture
def qwen(data_dir, tiny) -> Model:
    """Qwen's tokenizer; the weights do not matter."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(data_dir / "tokenizers" / "qwen2" / "tokenizer.json"))

    class Plain:
        bos_id = None

        def encode(self, text):
            return tokenizer.encode(text).ids

        def decode(self, ids):
            return tokenizer.decode(list(ids))

    return Model(tiny.make_transformer(vocab_size=151_936), Plain(), "qwen", "", prepend_bos=False)


def test_numbers_of_qwen_part_at_their_digits(qwen):
    found = diverging_answers(qwen, "36 + 37 =", [" 73", " 75"])
    digits = [qwen.tokenizer.decode([token]) for token in found.tokens]
    assert (found.shared, digits) == (2, ["3", "5"])
    assert qwen.tokenizer.decode(found.prompt) == "36 + 37 = 7"


def test_words_that_differ_at_once_share_nothing(qwen):
    assert diverging_answers(qwen, "The capital of France is", [" Paris", " London"]).shared == 0
