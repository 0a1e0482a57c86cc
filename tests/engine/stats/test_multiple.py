"""Families of tests: the adjustment is scipy's, untestable members stay out, and the global null is kept."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.stats.multiple import adjust


def test_untestable_members_change_nothing_for_the_others():
    p = np.array([0.01, 0.2, 0.03, 0.5])
    with_gaps = np.array([[0.01, np.nan, 0.2], [0.03, 0.5, np.nan]])
    family = adjust(with_gaps)
    assert family.tested == 4
    np.testing.assert_allclose(family.q[~np.isnan(with_gaps)], stats.false_discovery_control(p))
    assert np.isnan(family.q[np.isnan(with_gaps)]).all()


def test_by_is_never_below_bh_and_both_keep_the_order():
    p = np.random.default_rng(0).uniform(size=200) ** 2
    bh, by = adjust(p).q, adjust(p, "by").q
    assert (by >= bh).all()
    assert (np.diff(bh[np.argsort(p)]) >= 0).all()


def test_any_discovery_under_the_global_null_is_as_rare_as_alpha():
    p = np.random.default_rng(1).uniform(size=(4000, 50))
    false = np.mean([(adjust(row).q < 0.05).any() for row in p])
    assert 0.035 < false < 0.06


def test_nothing_testable_and_bad_input():
    assert adjust(np.array([np.nan])).tested == 0
    with pytest.raises(ValueError, match="correction: got 'holm'"):
        adjust(np.array([0.1]), "holm")
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        adjust(np.array([1.2]))
