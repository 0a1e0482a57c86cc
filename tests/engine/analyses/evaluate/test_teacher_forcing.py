"""Answer log probabilities against a plain loop over whole passes, and what cannot be scored."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities, scorable
from causeway.engine.model.forward import run
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import pair as as_record
from causeway.engine.tokenized_prompt import TokenizedPrompt

# Single tokens, a shared beginning, answers that part before their ends, unequal lengths both ways.
ANSWERS = [((3,), (4,)), ((3, 5, 6), (3, 5, 7)), ((3, 5), (4, 6)), ((9,), (3, 5, 6, 8)), ((3, 5, 6, 8), (3, 9))]


def _prompt(prompt, correct, incorrect):
    return as_record(prompt, correct, incorrect, id="p1")


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(0)
    lengths = (1, 3, 7, 8, 12)
    return [
        TokenizedPrompt(_prompt("", "a", "b"), tuple(rng.integers(40, size=length).tolist()), answers)
        for length in lengths
        for answers in ANSWERS
    ]


def _plain(transformer, prompt, answer):
    """Sum of log-softmax of one pass; what stands behind the answer cannot be seen."""
    tokens = [*prompt, *answer]
    logits = run(transformer, jnp.asarray([tokens + [0] * (16 - len(tokens))])).logits[0]
    chosen = np.asarray(jax.nn.log_softmax(logits, axis=-1), np.float64)
    return sum(chosen[len(prompt) - 1 + i, token] for i, token in enumerate(answer))


def test_equals_a_plain_loop(transformer, prompts):
    found = answer_log_probabilities(transformer, prompts, rows=4)
    expected = [[_plain(transformer, p.tokens, answer) for answer in p.answer_tokens] for p in prompts]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


class Words:
    """A tokenizer of words split at spaces; each letter but the first of a number is a token of its own."""

    vocab_size, bos_id, eos_id, fingerprint = 40, 0, 1, ""

    def encode(self, text):
        pieces = [c for word in text.split() for c in (["#", *word] if word.isdigit() else [word])]
        return [2 + sum(map(ord, piece)) % 37 for piece in pieces]

    def decode(self, ids):
        return " ".join(map(str, ids))


@pytest.fixture(scope="module")
def model(transformer):
    return Model(transformer, Words(), "words", "", prepend_bos=True)


def test_pairs_have_the_begin_token_and_what_the_answers_share(model):
    found = scorable(model, _prompt("the sum is", " 73", " 75"))
    right, wrong = found.pair
    assert found.tokens[0] == 0
    assert (len(found.tokens), len(right), right[:2] == wrong[:2], right[2] == wrong[2]) == (4, 3, True, False)


def test_the_right_answer_comes_first_however_a_record_lists_them(model):
    record = _prompt("the sum is", " 73", " 75")
    turned = scorable(model, dataclasses.replace(record, answers=record.answers[::-1]))
    assert turned.pair == scorable(model, record).pair == turned.answer_tokens[::-1]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (_prompt("", " a", " b"), "p1: prompt: got '', which has no tokens"),
        (_prompt("x", " a", " a"), "never diverge"),
        (_prompt("x", " 7", " 73"), "never diverge"),
        (_prompt("x " * 61, " 123", " 4"), "65 tokens with its longer answer, but the context of words is 64"),
        (_prompt("x", " a", "b"), "p1: answers: 'b' merges with the end of the prompt"),
    ],
)
def test_what_cannot_be_scored_is_one_line(model, refuses, prompt, message):
    with refuses(message):
        scorable(model, prompt)


def test_no_tokenizer_and_no_rows(model, transformer, prompts, refuses):
    with refuses("has no tokenizer"):
        scorable(dataclasses.replace(model, tokenizer=None), _prompt("x", " a", " b"))
    with refuses("rows: got 0"):
        answer_log_probabilities(transformer, prompts, rows=0)
