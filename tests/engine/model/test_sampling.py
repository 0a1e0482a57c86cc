"""Choosing tokens: the distribution, the nucleus against a sorted reference, and what the noise is a function of."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy.stats import chisquare

from causeway.engine.model import sampling
from causeway.engine.model.sampling import Purpose, Sampling, choose, row_keys

choose = jax.jit(choose, static_argnames="sampling")


@partial(jax.jit, static_argnames="top_p")
def nucleus(logits, top_p):
    """Which tokens are in."""
    return sampling.nucleus(logits, top_p) > -np.inf


ROWS = 8000
LOGITS = np.array([2.0, 1.0, 1.0, 0.0, -1.0, -2.0, 0.5, -30.0], np.float32)


def drawn(sampling, seed=3, prompt_id=0, step=5):
    return np.asarray(choose(np.tile(LOGITS, (ROWS, 1)), row_keys(seed, prompt_id, np.arange(ROWS)), step, sampling))


def softmax(logits):
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def sorted_nucleus(logits, top_p):
    """The most probable tokens, one after another until their mass reaches top_p, and ties with the last."""
    p, kept = softmax(logits), np.zeros(len(logits), bool)
    for token in np.argsort(-p, kind="stable"):
        if p[kept].sum() >= top_p:
            break
        kept[token] = True
    return p >= p[kept].min()


def test_draws_have_the_softmax_distribution():
    for temperature in (1.0, 0.7):
        expected = softmax(LOGITS / temperature)[:-1]
        counts = np.bincount(drawn(Sampling(temperature)), minlength=8)
        assert counts[7] == 0
        assert chisquare(counts[:-1], expected / expected.sum() * ROWS).pvalue > 1e-3


def test_temperatures_too_small_for_float32_are_greedy():
    assert Sampling(1e-38) == Sampling(1e-45) == Sampling(0.0)
    logits = np.array([[2.0, 9.5, 9.4999, -3.0], [0.0, 0.0, 0.0, 0.0], [1e6, 0.0, -1e6, 1e6]], np.float32)
    for temperature in (0.0, 1e-300, 1e-45, 1e-38, 1e-31):
        found = choose(logits, row_keys(0, 0, np.arange(3)), 0, Sampling(temperature))
        np.testing.assert_array_equal(found, [1, 0, 0])
    for temperature in (1e-30, 1e-12):  # a draw, of what ties
        found = choose(logits, row_keys(0, 0, np.arange(3)), 0, Sampling(temperature))
        assert found[0] == 1
        assert found[2] in (0, 3)


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("temperature", (-1, float("nan"), float("inf"), "0.7", None, True)),
        ("top_p", (0, -0.5, 1.5, float("nan"), "1")),
        ("top_k", (-1, 2.5, "3", True, float("nan"), 2**40)),
        ("stop_tokens", ((1.5,), ("a",), (-1,), (2**40,))),
    ],
)
def test_settings_that_are_no_numbers_of_their_range_are_refused(setting, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{setting}: got "):
            Sampling(**{setting: value})


def test_draws_of_a_row_at_different_steps_have_it_too():
    """Sixteen rows over 500 steps: the draws of a row are as independent as those of a batch."""
    keys = row_keys(3, 0, np.arange(16))
    each = jax.jit(lambda step: choose(np.tile(LOGITS, (16, 1)), keys, step, Sampling(1.0)))
    tokens = np.concatenate([each(step) for step in range(500)])
    expected = softmax(LOGITS)[:-1]
    assert chisquare(np.bincount(tokens, minlength=8)[:-1], expected / expected.sum() * tokens.size).pvalue > 1e-3


def test_the_nucleus_equals_a_sorted_reference():
    rng = np.random.default_rng(0)
    logits = (3 * rng.standard_normal((200, 37))).astype(np.float32)
    for top_p in (0.05, 0.5, 0.9, 0.999):
        expected = [sorted_nucleus(row, top_p) for row in logits]
        np.testing.assert_array_equal(nucleus(logits, top_p), expected)


def test_the_nucleus_keeps_ties_and_always_the_largest():
    np.testing.assert_array_equal(nucleus(LOGITS[None], 0.5)[0], sorted_nucleus(LOGITS, 0.5))
    assert set(drawn(Sampling(1.0, top_p=0.5))) == {0, 1, 2}
    assert nucleus(np.zeros((1, 5), np.float32), 0.01).all()
    np.testing.assert_array_equal(nucleus(LOGITS[None], 1e-6)[0], np.arange(8) == 0)


def test_draws_from_a_nucleus_are_renormalised():
    kept = sorted_nucleus(LOGITS, 0.8)
    counts = np.bincount(drawn(Sampling(1.0, top_p=0.8)), minlength=8)
    expected = np.where(kept, softmax(LOGITS), 0)
    assert counts[~kept].sum() == 0
    assert chisquare(counts[kept], expected[kept] / expected.sum() * ROWS).pvalue > 1e-3


def test_top_k_keeps_the_largest_and_their_ties():
    assert set(drawn(Sampling(1.0, top_k=2))) == {0, 1, 2}
    np.testing.assert_array_equal(drawn(Sampling(1.0, top_k=100)), drawn(Sampling(1.0)))


def test_low_temperatures_meet_the_greedy_choice_and_its_first_of_equals():
    logits = np.random.default_rng(0).standard_normal((ROWS, 8)).astype(np.float32)
    keys = row_keys(0, 0, np.arange(ROWS))
    greedy = choose(logits, keys, 0, Sampling(0.0))
    np.testing.assert_array_equal(greedy, logits.argmax(axis=1))
    np.testing.assert_array_equal(choose(logits, keys, 0, Sampling(1e-5)), greedy)
    assert choose(np.where(logits > 0, 1.0, 0.0), keys, 0, Sampling(0.0))[0] == np.argmax(logits[0] > 0)


def test_noise_is_a_function_of_seed_prompt_trial_and_step():
    base = drawn(Sampling(1.0))
    np.testing.assert_array_equal(drawn(Sampling(1.0)), base)
    for other in ({"seed": 4}, {"prompt_id": 1}, {"step": 6}):
        assert (drawn(Sampling(1.0), **other) != base).mean() > 0.3
    trials = np.arange(ROWS) // 2
    pairs = np.asarray(choose(np.tile(LOGITS, (ROWS, 1)), row_keys(3, 0, trials), 5, Sampling(1.0)))
    np.testing.assert_array_equal(pairs[::2], pairs[1::2])
    np.testing.assert_array_equal(pairs[::2], base[: ROWS // 2])


def test_noise_is_the_documented_one():
    """argmax(logits / T + Gumbel of (seed, purpose, prompt, trial, step)): a promise that stored runs rest on."""
    key = jax.random.key(3, impl="threefry2x32")
    for word in (Purpose.TOKEN, 11, 2, 5):
        key = jax.random.fold_in(key, word)
    expected = np.argmax(LOGITS / 0.7 + jax.random.gumbel(key, (8,)))
    assert drawn(Sampling(0.7), prompt_id=11)[2] == expected


def test_purposes_are_different_words():
    assert len({int(p) for p in Purpose}) == len(Purpose)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -0.1}, "temperature: got -0.1"),
        ({"top_k": -1}, "top_k: got -1"),
        ({"top_p": 0.0}, "top_p: got 0.0"),
        ({"top_p": 1.5}, "top_p: got 1.5"),
    ],
)
def test_impossible_settings_are_refused(refuses, fields, message):
    with refuses(message):
        Sampling(**fields)


def test_scores_taken_from_weights_are_logits_less_the_largest():
    """What devices other than a CPU draw from."""
    logits = (5 * np.random.default_rng(0).standard_normal((20, 300))).astype(np.float32)
    less = logits - logits.max(axis=1, keepdims=True)
    found = jax.jit(lambda less: sampling._logarithm(jax.numpy.exp(less)))(less)
    np.testing.assert_allclose(found, less, atol=1e-6, rtol=1e-6)
