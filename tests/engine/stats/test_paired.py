"""Paired means: intervals against scipy, row by row, with missing prompts; coverage."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.stats import paired


def _rows():
    x = np.random.default_rng(0).normal(0.3, 1, size=(6, 15))
    x[2, 4] = x[3, :5] = np.nan
    return x


def test_t_interval_equals_scipy():
    x = _rows()
    found = paired.paired_mean(x)
    for i, row in enumerate(x):
        expected = stats.ttest_1samp(row[~np.isnan(row)], 0)
        interval = expected.confidence_interval(0.95)
        np.testing.assert_allclose([found.low[i], found.high[i]], [interval.low, interval.high])


@pytest.mark.parametrize("interval", ["t", "bootstrap"])
def test_coverage(interval):
    x = np.random.default_rng(1).normal(0.4, 1, size=(600, 30))
    found = paired.paired_mean(x, interval=interval, seed=3)
    assert 0.91 < ((found.low < 0.4) & (found.high > 0.4)).mean() < 0.98


def test_bootstrap_leaves_missing_prompts_out():
    x = _rows()
    found = paired.paired_mean(x, interval="bootstrap")
    alone = paired.paired_mean(x[3:4, 5:], interval="bootstrap")
    np.testing.assert_allclose([found.low[3], found.high[3]], [alone.low[0], alone.high[0]])


def test_one_prompt_has_an_effect_and_no_interval():
    found = paired.paired_mean(np.array([[0.25]]))
    assert found.effect[0] == 0.25
    assert np.isnan([found.low[0], found.high[0]]).all()


def test_unknown_interval():
    with pytest.raises(ValueError, match="interval: got 'wald'"):
        paired.paired_mean(np.zeros((1, 3)), interval="wald")
