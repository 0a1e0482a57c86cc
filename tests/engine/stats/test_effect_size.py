"""Cohen's d: the formula, its sign, invariance to shift and scale."""

import numpy as np

from causeway.engine.stats.strata import stratified_difference


def _d(a, b):
    arrays = [(x.mean(-1)[None], x.var(-1, ddof=1)[None], np.array([[float(x.shape[-1])]])) for x in (a, b)]
    return stratified_difference(*arrays[0], *arrays[1]).d


def test_positive_where_the_second_group_is_higher():
    a, b = np.array([[0.0, 1.0, 2.0]]), np.array([[2.0, 3.0, 4.0]])
    np.testing.assert_allclose(_d(a, b), [2.0])
    np.testing.assert_allclose(_d(b, a), [-2.0])


def test_does_not_change_with_shift_and_positive_scale():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 20)), rng.normal(0.5, 2.0, size=(5, 30))
    np.testing.assert_allclose(_d(3 * a + 7, 3 * b + 7), _d(a, b), rtol=1e-10)


def test_without_variation_there_is_no_d():
    assert np.isnan(_d(np.ones((1, 4)), np.ones((1, 4)) * 2)).all()
