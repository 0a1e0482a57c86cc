"""Streaming moments and quantiles: equal to the direct ones, whatever the batches and their order."""

import dataclasses

import numpy as np
import pytest

from causeway.engine.stats.moments import Moments
from causeway.engine.stats.quantiles import RELATIVE_ERROR, LogHistogram


def _values(n=400, features=12):
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-3, 3, features)
    x = (np.maximum(rng.normal(size=(n, features)) - 0.8, 0) * scale).astype(np.float32)
    x[:, 0] = 0
    x[:, 1] = 1e6 + x[:, 1]
    return x


def _streamed(kind, x, sizes):
    total = kind.empty(x.shape[1])
    for part in np.split(x, np.cumsum(sizes)[:-1]):
        total = total + kind.of(part)
    return total


def test_streaming_equals_direct():
    x = _values()
    total = _streamed(Moments, x, [1, 99, 150, 0, 150])
    direct = x.astype(np.float64)
    np.testing.assert_allclose(total.mean, direct.mean(0), rtol=1e-12)
    np.testing.assert_allclose(total.variance, direct.var(0, ddof=1), rtol=1e-9)
    np.testing.assert_array_equal(total.maximum, direct.max(0))
    np.testing.assert_allclose(total.active_fraction, (x > 0).mean(0))
    expected = [column[column > 0].mean() if (column > 0).any() else np.nan for column in direct.T]
    np.testing.assert_allclose(total.mean_active, expected, rtol=1e-12)


def test_batch_order_does_not_matter():
    x = _values()
    shuffled = x[np.random.default_rng(1).permutation(len(x))]
    one, other = _streamed(Moments, x, [100] * 4), _streamed(Moments, shuffled, [37, 63, 300])
    for field in dataclasses.fields(Moments):
        np.testing.assert_allclose(getattr(one, field.name), getattr(other, field.name), rtol=1e-9, err_msg=field.name)


def test_a_constant_has_no_variance():
    total = _streamed(Moments, np.full((300, 1), 0.1, np.float32), [7, 93, 200])
    assert total.variance[0] == 0


def test_values_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match="feature 3 is not finite"):
        Moments.of(np.where(np.arange(5) == 3, np.nan, 1.0)[None])


def test_quantiles_are_within_the_stated_error_of_the_order_statistic():
    x = _values(n=1000)
    total = _streamed(LogHistogram, x, [10, 490, 500])
    for q in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
        found = total.quantile(q)
        for feature, column in enumerate(x.T.astype(np.float64)):
            active = column[column > 0]
            if not len(active):
                assert np.isnan(found[feature])
                continue
            exact = np.quantile(active, q, method="inverted_cdf")
            assert abs(np.log(found[feature] / exact)) <= np.log1p(RELATIVE_ERROR) + 1e-6


def test_quantiles_do_not_depend_on_batches_or_order():
    x = _values()
    shuffled = x[np.random.default_rng(2).permutation(len(x))]
    one, other = _streamed(LogHistogram, x, [200, 200]), _streamed(LogHistogram, shuffled, [1, 399])
    np.testing.assert_array_equal(one.quantile(0.3), other.quantile(0.3))


def test_quantile_out_of_range():
    with pytest.raises(ValueError, match="needs 0 < q <= 1"):
        LogHistogram.empty(3).quantile(0.0)
