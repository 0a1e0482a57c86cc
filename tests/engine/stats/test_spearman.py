import numpy as np
import pytest

from causeway.engine.stats.spearman import spearman


def test_ranks_alone_count_and_ties_share_theirs():
    x, y = np.array([1.0, 2, 2, 4, 9]), np.array([0.0, 1, 1, 3, 2])
    assert spearman(x, y).r == pytest.approx(spearman(np.exp(x), y**3).r)
    assert spearman(x, -y).r == pytest.approx(-spearman(x, y).r)
    ranks = np.corrcoef([1, 2.5, 2.5, 4, 5], [1, 2.5, 2.5, 5, 4])[0, 1]
    assert spearman(x, y).r == pytest.approx(ranks)


def test_what_does_not_vary_has_no_correlation_and_few_have_no_interval():
    assert np.isnan(spearman(np.ones(20), np.arange(20.0)).r)
    few = spearman(np.arange(9.0), np.arange(9.0) % 4)
    assert np.isnan([few.low, few.high]).all()
    assert not np.isnan(few.r)
    assert np.isnan(spearman(np.arange(40.0), np.arange(40.0) % 7, ["a", "b"] * 20).low)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("count", [12, 60])
def test_the_interval_covers(rho, count):
    rng, true, covered = np.random.default_rng(0), 6 / np.pi * np.arcsin(rho / 2), []
    for _ in range(400):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], count).T
        found = spearman(x, np.exp(y))
        covered.append(found.low <= true <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.99
