"""Newcombe's interval against the published example; exact tests against scipy, their symmetry and their level."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.stats import proportions
from causeway.engine.stats.proportions import CountPair, paired_share


def test_newcombe_published_example():
    """Newcombe (1998), Table II, column (a): 56/70 against 48/80, method 10 gives 0.0524 to 0.3339."""
    difference, low, high = proportions.risk_difference(
        CountPair(np.array([48]), np.array([80]), np.array([56]), np.array([70]))
    )
    np.testing.assert_allclose([difference[0], low[0], high[0]], [0.2, 0.0524, 0.3339], atol=5e-5)


@pytest.mark.parametrize(("counts", "limits"), [((0, 10, 10, 10), (0.6075, 1.0)), ((0, 20, 0, 10), (-0.1611, 0.2775))])
def test_newcombe_at_the_edges(counts, limits):
    """Columns (h) and (f) of the same table, where the Wald interval has no width."""
    _, low, high = proportions.risk_difference(CountPair(*(np.array([c]) for c in counts)))
    np.testing.assert_allclose([low[0], high[0]], limits, atol=5e-5)


@pytest.mark.parametrize("test", ["fisher", "boschloo", "barnard"])
def test_rows_equal_scipy_one_by_one(test):
    k_1, k_2 = np.array([3, 0, 3, 7]), np.array([8, 9, 8, 7])
    p = proportions.exact_test(CountPair(k_1, np.full(4, 10), k_2, np.full(4, 12)), test)
    scalar = {"fisher": stats.fisher_exact, "boschloo": stats.boschloo_exact, "barnard": stats.barnard_exact}[test]
    expected = [scalar([[b, a], [12 - b, 10 - a]]).pvalue for a, b in zip(k_1, k_2, strict=True)]
    np.testing.assert_allclose(p, expected)
    assert p[0] == p[2]


def test_an_arm_without_trials_is_untestable():
    table = CountPair(np.array([0]), np.array([0]), np.array([3]), np.array([5]))
    assert np.isnan(proportions.exact_test(table)).all()
    assert np.isnan(proportions.risk_difference(table)[0]).all()


def test_more_successes_than_trials_is_refused():
    with pytest.raises(ValueError, match="exceed their number of trials"):
        proportions.exact_test(CountPair(np.array([6]), np.array([5]), np.array([3]), np.array([5])))


@pytest.mark.parametrize(("size", "alike"), [(1, 0.0), (10, 0.0), (10, 0.3), (10, 0.9), (3, 0.9)])
def test_the_interval_of_clustered_items_covers(size, alike):
    """10 to 80 clusters; one that takes the items for independent covers 40 to 70 % of alike ones."""
    rng = np.random.default_rng(0)
    for groups, rate in ((10, 0.5), (20, 0.8), (80, 0.95)):
        covered, naive = [], []
        for _ in range(400):
            p = rng.beta(rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, groups) if alike else rate
            hits = rng.random((groups, size)) < np.broadcast_to(p, groups)[:, None]
            low, high = proportions.clustered_interval(hits.ravel(), np.repeat(np.arange(groups), size).astype(str))
            covered.append(low <= rate <= high)
            ends = proportions.wilson_interval(np.array(hits.sum()), np.array(hits.size))
            naive.append(ends[0] <= rate <= ends[1])
        assert 0.91 <= np.mean(covered) <= 0.999
        assert np.mean(naive) < 0.75 if alike * size >= 3 else True


def test_few_clusters_tell_nothing_and_items_that_agree_count_as_their_clusters():
    names = np.repeat(np.arange(12), 5).astype(str)
    assert np.isnan(proportions.clustered_interval(np.ones(45, bool), names[:45])).all()
    low, high = proportions.clustered_interval(np.ones(60, bool), names)
    assert high == 1
    assert low < proportions.wilson_interval(np.array(12), np.array(12))[0] < 0.8


def test_a_paired_change_is_that_of_the_items_that_changed():
    before = np.array([True] * 60 + [False] * 40)
    after = np.stack([before, ~before, before.copy()])
    after[2, :12] = False
    after[2, 97:] = True
    found = paired_share(before, after)
    np.testing.assert_allclose(found.effect, [0, -0.2, -0.09])
    np.testing.assert_allclose(found.p[[0, 2]], [1, stats.binomtest(3, 15).pvalue])
    assert (found.low <= found.effect).all()
    assert (found.effect <= found.high).all()
    rows = [proportions.paired_risk_difference(before.astype(int), row) for row in after.astype(int)]
    np.testing.assert_allclose(np.stack([found.effect, found.low, found.high]).T, rows)
    # Where none of 100 changed, little is left for what might.
    assert 0.01 < found.high[0] == -found.low[0] < 0.04


def test_the_paired_interval_is_newcombes_of_the_four_counts():
    """Newcombe (1998, paired), method 10, from the counts a (both), b (second alone), c (first alone), d (neither)."""
    for a, b, c, d in ((20, 12, 2, 16), (5, 9, 3, 23), (0, 7, 1, 12), (3, 3, 9, 5), (15, 0, 0, 5), (0, 20, 0, 0)):
        n = a + b + c + d
        first, second = np.repeat([1, 0, 1, 0], [a, b, c, d]), np.repeat([1, 1, 0, 0], [a, b, c, d])
        l_2, u_2 = proportions.wilson_interval(np.array(a + b), np.array(n))
        l_1, u_1 = proportions.wilson_interval(np.array(a + c), np.array(n))
        numerator = np.sign(a * d - b * c) * max(abs(a * d - b * c) - n / 2, 0)
        product = (a + b) * (c + d) * (a + c) * (b + d)
        phi = numerator / np.sqrt(product) if product else 0.0
        p_2, p_1 = (a + b) / n, (a + c) / n
        below = (p_2 - l_2) ** 2 - 2 * phi * (p_2 - l_2) * (u_1 - p_1) + (u_1 - p_1) ** 2
        above = (u_2 - p_2) ** 2 - 2 * phi * (u_2 - p_2) * (p_1 - l_1) + (p_1 - l_1) ** 2
        expected = [p_2 - p_1, p_2 - p_1 - np.sqrt(below), p_2 - p_1 + np.sqrt(above)]
        np.testing.assert_allclose(proportions.paired_risk_difference(first, second), expected, atol=1e-12)


@pytest.mark.parametrize("trials", [1, 4])
@pytest.mark.parametrize(("size", "alike"), [(12, 0.0), (12, 0.6), (40, 0.3), (40, 0.9)])
def test_the_paired_interval_covers(size, alike, trials):
    """Outcomes, and shares of several trials, of items that are alike in both arms."""
    rng, truth, held = np.random.default_rng(size), 0.2, 0
    for _ in range(800):
        own = rng.random((size, trials))
        arms = [np.where(rng.random((size, trials)) < alike, own, rng.random((size, trials))) < p for p in (0.3, 0.5)]
        _, low, high = proportions.paired_risk_difference(*(arm.mean(axis=1) for arm in arms))
        held += low <= truth <= high
    assert held >= 0.93 * 800


def test_no_items_have_no_paired_difference():
    with pytest.raises(ValueError, match="got no items"):
        proportions.paired_risk_difference(np.zeros(0), np.zeros(0))
