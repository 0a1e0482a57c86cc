import numpy as np
import pytest

from causeway.engine.stats.concentration import gini, participation, top_shares


def test_gini_is_half_the_mean_difference_over_the_mean():
    x = np.random.default_rng(0).exponential(size=(40, 3))
    differences = np.abs(x[:, None] - x[None]).mean(axis=(0, 1))
    np.testing.assert_allclose(gini(x), differences / (2 * x.mean(axis=0)), rtol=1e-12)


def test_equal_sizes_are_not_concentrated_and_one_size_alone_is():
    alike, alone = np.full((8, 1), 3e-200), np.zeros((8, 1))
    alone[2] = 5
    np.testing.assert_allclose([gini(alike)[0], gini(alone)[0]], [0, 1 - 1 / 8], atol=1e-12)
    np.testing.assert_allclose([participation(alike)[0], participation(alone)[0]], [8, 1], rtol=1e-12)
    np.testing.assert_allclose(top_shares(alike, [0.25, 1])[:, 0], [0.25, 1], rtol=1e-12)
    np.testing.assert_allclose(top_shares(alone, [0.01, 0.5])[:, 0], [1, 1], rtol=1e-12)


def test_the_participation_ratio_is_of_squares():
    x = np.array([[1.0], [2.0], [2.0]])
    np.testing.assert_allclose(participation(x), [(1 + 4 + 4) ** 2 / (1 + 16 + 16)])


def test_scale_and_order_change_nothing():
    x = np.random.default_rng(1).exponential(size=(30, 2))
    for measure in (gini, participation, lambda x: top_shares(x, [0.1])):
        np.testing.assert_allclose(measure(x), measure(1e6 * x[::-1]), rtol=1e-12)


def test_a_share_counts_whole_members_upwards():
    x = np.arange(1.0, 11)[:, None]
    np.testing.assert_allclose(top_shares(x, [0.1, 0.11, 0.3])[:, 0], [10 / 55, 19 / 55, 27 / 55])


def test_sizes_of_zero_hold_nothing():
    x = np.zeros((5, 1))
    assert gini(x)[0] == participation(x)[0] == top_shares(x, [0.5])[0, 0] == 0


@pytest.mark.parametrize("x", [np.zeros((0, 2)), np.array([[-1.0]]), np.array([[np.nan]])])
def test_what_is_no_size_is_refused(x):
    with pytest.raises(ValueError, match="needs one or more, of finite numbers that are not negative"):
        gini(x)
    with pytest.raises(ValueError, match=r"shares: got 0; needs shares of the members"):
        top_shares(np.ones((2, 1)), [0])
