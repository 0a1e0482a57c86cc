"""What the statistics hold to when nothing is there, and what they find when something is."""

import numpy as np
import pytest

from causeway.engine.analyses.as_published.replay_rules import trial_test
from causeway.engine.analyses.replay.estimates import estimated, halves_of
from causeway.engine.analyses.replay.gather import Readings
from causeway.engine.stats.multiple import adjust

PROMPTS, TRIALS, TARGETS = 40, 10, 50


def readings(change, plain=None):
    """Readings of a change [P, S, T]."""
    plain = np.zeros_like(change) if plain is None else plain
    return Readings(plain + change, plain, np.zeros(change.shape[2]))


def null_change(rng, of_prompts, of_trials, targets=TARGETS):
    """A change of mean 0 that differs from prompt to prompt, and from trial to trial within them."""
    shape = (PROMPTS, TRIALS, targets)
    return of_prompts * rng.standard_normal((PROMPTS, 1, targets)) + of_trials * rng.standard_normal(shape)


@pytest.mark.parametrize("of_trials", [0.0, 1.0], ids=["one number a prompt", "trials differ"])
def test_with_prompts_as_the_unit_no_more_is_found_than_the_level_says(of_trials):
    rng = np.random.default_rng(5)
    p = np.array([estimated(readings(null_change(rng, 1.0, of_trials)), None, None).p for _ in range(40)])
    assert np.mean(p < 0.05) < 0.06
    # Of families that are all null, this share may have a false discovery.
    assert np.mean([(adjust(family).q < 0.05).any() for family in p]) <= 0.1


def test_with_trials_as_the_unit_nothing_is_found_everywhere():
    """Trials of a prompt are no evidence of other prompts: ten of them are taken for ten prompts."""
    rng = np.random.default_rng(6)
    changes = [null_change(rng, 1.0, 0.3) for _ in range(20)]
    told = [trial_test(change, np.zeros_like(change)).p for change in changes]
    assert np.mean(np.array(told) < 0.05) > 0.3
    assert np.mean(np.array([estimated(readings(c), None, None).p for c in changes]) < 0.05) < 0.06


def test_intervals_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(7)
    found = [estimated(readings(0.4 + null_change(rng, 1.0, 1.0)), None, None) for _ in range(20)]
    held = np.mean([(one.low < 0.4) & (one.high > 0.4) for one in found])
    assert 0.92 < held < 0.98


def test_what_one_half_selects_the_other_estimates_without_its_luck():
    rng = np.random.default_rng(8)
    halves = halves_of(np.arange(PROMPTS), ["" for _ in range(PROMPTS)], True, 0)
    found = [estimated(readings(null_change(rng, 1.0, 0.5)), None, halves) for _ in range(40)]
    lucky = np.concatenate([np.abs(one.delta_selection[one.p < 0.05]) for one in found])
    again = np.concatenate([(np.sign(one.delta_selection) * one.delta)[one.p < 0.05] for one in found])
    assert lucky.mean() > 0.3
    assert abs(again.mean()) < 0.1
    assert np.mean(np.concatenate([one.replicated[one.p < 0.05] for one in found])) < 0.06


def test_a_true_change_is_found_and_replicated():
    rng = np.random.default_rng(9)
    change = null_change(rng, 0.3, 0.3)
    change[:, :, :5] += 0.5
    halves = halves_of(np.arange(PROMPTS), ["" for _ in range(PROMPTS)], True, 0)
    found = estimated(readings(change), None, halves)
    assert (found.replicated[:5] == 1).all()
    assert (adjust(found.p).q[:5] < 0.05).all()


def test_correlation_is_that_within_prompts():
    """Source and target that both follow their prompt, and no more, are correlated over trials in name alone."""
    rng = np.random.default_rng(10)
    of_prompt, noise = rng.standard_normal((PROMPTS, 1, 1)), rng.standard_normal((PROMPTS, TRIALS, 3))
    change = 3 * of_prompt + 0.5 * noise
    change[:, :, 2] = 3 * of_prompt[:, :, 0] + 0.5 * noise[:, :, 0]
    found = estimated(readings(change), 0, None).correlation
    assert abs(found[1]) < 0.15
    assert found[2] == pytest.approx(1)
    raw = np.corrcoef(change[:, :, 0].ravel(), change[:, :, 1].ravel())[0, 1]
    assert raw > 0.9


def test_where_trials_do_not_vary_there_is_no_correlation():
    change = np.repeat(np.random.default_rng(11).standard_normal((PROMPTS, 1, 4)), TRIALS, axis=1)
    assert np.isnan(estimated(readings(change), 0, None).correlation).all()
