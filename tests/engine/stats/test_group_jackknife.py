"""The interval of a rate over clusters is that of the groups' own spread, and covers the truth as often as it says."""

import numpy as np

from causeway.engine.stats.group_jackknife import group_jackknife


def test_ends_follow_from_leaving_groups_out():
    counts, sizes = np.array([[1, 0], [3, 0], [2, 5]]), np.array([10, 20, 10])
    rate, low, high = group_jackknife(counts, sizes)
    np.testing.assert_allclose(rate, [6 / 40, 5 / 40])
    without = np.array([5 / 30, 3 / 20, 4 / 30])
    reach = 4.302653 * np.sqrt(2 / 3 * ((without - 6 / 40) ** 2).sum())
    np.testing.assert_allclose([low[0], high[0]], [6 / 40 - reach, 6 / 40 + reach], rtol=1e-5)
    assert low[1] == 0
    assert high[1] <= 1


def test_where_nothing_is_counted_no_spread_is_seen():
    rate, low, high = group_jackknife(np.array([[0], [0]]), np.array([4, 5]))
    assert rate == 0
    assert np.isnan([low, high]).all()
    _, low, _ = group_jackknife(np.array([[1], [0]]), np.array([4, 0]))
    assert np.isnan(low)


def test_it_covers_a_rate_of_clustered_tokens():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        rates, lengths = rng.beta(0.5, 4.5, 160), rng.integers(20, 120, 160)
        counts, group = rng.binomial(lengths, rates), rng.integers(0, 16, 160)
        sums = (np.bincount(group, weights, 16).astype(int) for weights in (counts, lengths))
        counted, sizes = sums
        _, low, high = group_jackknife(counted[:, None], sizes)
        hits += low[0] <= 0.1 <= high[0]
    assert 0.91 < hits / 400 < 0.98
