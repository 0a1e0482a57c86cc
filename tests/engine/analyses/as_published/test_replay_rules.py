"""The study's rules for pathways are those of its documents, as scipy computes them."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.analyses.as_published.replay_rules import trial_correlation, trial_test

EDITED = np.random.default_rng(0).normal(0.3, 1, (6, 5, 4))
PLAIN = np.random.default_rng(1).normal(0, 1, (6, 5, 4))


def test_the_redesigns_rule_is_students_t_test_over_trials():
    found = trial_test(EDITED, PLAIN)
    told = stats.ttest_ind(EDITED.reshape(30, 4), PLAIN.reshape(30, 4))
    assert found.t == pytest.approx(told.statistic)
    assert found.p == pytest.approx(told.pvalue)
    effect = EDITED.reshape(30, 4).mean(0) - PLAIN.reshape(30, 4).mean(0)
    assert found.is_pathway.tolist() == ((told.pvalue < 0.05) & (np.abs(effect) > 0.1)).tolist()


def test_trials_without_a_value_are_left_out_of_the_test():
    edited = EDITED.copy()
    edited[0, 1] = np.nan
    told = stats.ttest_ind(edited.reshape(30, 4), PLAIN.reshape(30, 4), nan_policy="omit")
    assert trial_test(edited, PLAIN).p == pytest.approx(np.asarray(told.pvalue))


def test_trials_that_do_not_vary_and_differ_are_certain_and_those_that_are_equal_untested():
    same = np.ones((2, 5, 2))
    found = trial_test(same + np.array([0.0, 0.5]), same)
    assert np.isnan(found.p[0])
    assert found.p[1] == 0
    assert found.is_pathway.tolist() == [False, True]


def test_the_correlation_is_pearsons_over_trials():
    x = EDITED[:, :, 0]
    found = trial_correlation(x, EDITED)
    for target in range(1, 4):
        r, p = stats.pearsonr(x.ravel(), EDITED[:, :, target].ravel())
        assert found.r[target] == pytest.approx(r)
        assert found.p[target] == pytest.approx(p)
    assert found.r[0] == pytest.approx(1)
    assert found.holds.tolist() == [True, False, False, False]


def test_fewer_than_ten_shared_trials_are_no_correlation():
    assert trial_correlation(EDITED[:3, :3, 0], EDITED[:3, :3]).holds.tolist() == [False] * 4
    assert np.isnan(trial_correlation(np.full((6, 5), np.nan), EDITED).r).all()
