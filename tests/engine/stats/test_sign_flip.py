"""Sign-flip test: exact against full enumeration, uniform under the null, symmetric, blocked and refined soundly."""

import itertools

import numpy as np
import pytest
from scipy import stats

from causeway.engine.stats import sign_flip
from causeway.engine.stats.sign_flip import sign_flip_test, smallest_p


def _enumerated(x):
    signs = np.array(list(itertools.product([1, -1], repeat=len(x))))
    return np.mean(np.abs(signs @ x) >= abs(x.sum()) - 1e-12)


def test_few_prompts_equal_full_enumeration():
    x = np.random.default_rng(0).normal(0.4, 1, size=(20, 7))
    np.testing.assert_allclose(sign_flip_test(x, seed=0), [_enumerated(row) for row in x])


def test_equals_scipy_on_one_feature():
    x = np.random.default_rng(1).normal(0.3, 1, size=(1, 10))
    expected = stats.permutation_test((x[0],), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    np.testing.assert_allclose(sign_flip_test(x, seed=0), expected)


@pytest.mark.parametrize("prompts", [9, 30])
def test_negating_the_differences_changes_nothing(prompts):
    x = np.random.default_rng(2).normal(0.2, 1, size=(200, prompts))
    np.testing.assert_allclose(sign_flip_test(x, seed=0), sign_flip_test(-x, seed=0), rtol=1e-12)


def test_random_signs_agree_with_full_enumeration(monkeypatch):
    x = np.random.default_rng(8).normal(0.3, 1, size=(100, 12))
    exact = sign_flip_test(x, seed=0)
    monkeypatch.setattr(sign_flip, "EXACT_PROMPTS", 0)
    drawn = sign_flip_test(x, seed=0, resamples=20_000)
    assert np.abs(drawn - exact).max() < 4.5 * 0.5 / np.sqrt(20_000)


def test_order_of_prompts_does_not_matter_when_enumerated():
    rng = np.random.default_rng(3)
    x = rng.normal(0.2, 1, size=(50, 10))
    np.testing.assert_allclose(sign_flip_test(x[:, rng.permutation(10)], seed=0), sign_flip_test(x, seed=0))


def test_uniform_under_the_null():
    """Skew cancels in a difference of exchangeable arms; prompts differ in scale."""
    rng = np.random.default_rng(4)
    x = rng.laplace(size=(4000, 40)) * rng.gamma(2, 1, size=40)
    p = sign_flip_test(x, seed=5)
    assert stats.kstest(p, "uniform").pvalue > 0.001
    for alpha in (0.001, 0.01, 0.05, 0.2):
        assert (p <= alpha).mean() <= alpha + 3.5 * np.sqrt(alpha * (1 - alpha) / 4000)


def test_strong_effects_are_drawn_again_below_the_first_bound():
    x = np.random.default_rng(5).normal(0.0, 0.5, size=(1000, 60))
    x[:3] += 2
    p = sign_flip_test(x, seed=0)
    assert p[:3].max() < 1 / (sign_flip.FIRST_RESAMPLES + 1) / 50
    assert p[3:].min() > p[:3].max()


def test_blocking_does_not_change_a_bit(monkeypatch):
    x = np.random.default_rng(6).normal(0.2, 1, size=(60, 20))
    whole = sign_flip_test(x, seed=1, resamples=500)
    monkeypatch.setattr(sign_flip, "CACHED", 7 * sign_flip.DRAW)
    np.testing.assert_allclose(sign_flip_test(x, seed=1, resamples=500), whole, rtol=1e-12)


def test_missing_prompts_are_left_out():
    x = np.random.default_rng(7).normal(0.5, 1, size=(10, 9))
    wide = np.concatenate([x, np.full((10, 3), np.nan)], axis=1)
    np.testing.assert_allclose(sign_flip_test(wide, seed=0), sign_flip_test(x, seed=0))


def test_one_prompt_cannot_be_tested_and_no_change_gives_one():
    assert np.isnan(sign_flip_test(np.ones((2, 1)), seed=0)).all()
    np.testing.assert_array_equal(sign_flip_test(np.zeros((2, 8)), seed=0), 1.0)


def test_fewest_prompts_is_where_a_test_can_first_reject():
    assert smallest_p(sign_flip.FEWEST_PROMPTS) < 0.05 <= smallest_p(sign_flip.FEWEST_PROMPTS - 1)
    assert sign_flip_test(np.ones((1, 6)), seed=0)[0] == smallest_p(6)
