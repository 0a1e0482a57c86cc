"""How far one set of numbers is told by another."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.stats.agreement import agreement


def test_what_is_twice_as_large_has_slope_two_and_every_sign():
    x = np.random.default_rng(0).standard_normal(30)
    assert agreement(x, 2 * x) == pytest.approx((2, 1, 1))
    assert agreement(x, -x) == pytest.approx((-1, -1, 0))


def test_each_is_what_it_says_it_is():
    rng = np.random.default_rng(1)
    x, y = rng.choice([-1.5, 0, 0.5, 2], 200), rng.choice([-1.0, 0.0, 1.0], 200)
    found = agreement(x, y)
    assert found.slope == pytest.approx(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0])
    assert found.spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    moved = [(a, b) for a, b in zip(x, y, strict=True) if a and b]
    assert found.same_sign == pytest.approx(np.mean([a * b > 0 for a, b in moved]))


def test_what_cannot_be_had_is_no_number():
    assert np.isnan(agreement(np.zeros(3), np.arange(3.0))).all()
    assert np.isnan(agreement(np.zeros(0), np.zeros(0))).all()
    assert np.isnan(agreement(np.ones(4), np.arange(4.0)).spearman)
