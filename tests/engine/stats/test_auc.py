"""The area against a double loop, its variance against the papers' formulas, what its interval covers, and its test."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from causeway.engine.stats import auc
from causeway.engine.stats.auc import area, areas, interval, mann_whitney, permutation_p, variance


def pairs(scores, second):
    """1 where one of the second class is above one of the first, ties a half: [m, n]."""
    x, y = scores[second][:, None], scores[~second][None]
    return (x > y) + 0.5 * (x == y)


def simulated(fast, *axes):
    """Every combination of the axes; those that are not fast are slow."""
    return [pytest.param(*c, marks=() if c in fast else pytest.mark.slow) for c in itertools.product(*axes)]


def both_classes(labels):
    return any(labels) and not all(labels)


ITEMS = st.lists(st.tuples(st.integers(0, 6).map(float), st.booleans()), min_size=2, max_size=30).filter(
    lambda items: both_classes([label for _, label in items])
)


@given(ITEMS)
def test_the_area_is_mann_and_whitneys_with_ties_as_halves(items):
    scores, second = (np.array(column) for column in zip(*items, strict=True))
    expected = pairs(scores, second).mean()
    assert mann_whitney(scores, second) == pytest.approx(expected)
    u = stats.mannwhitneyu(scores[second], scores[~second]).statistic
    assert mann_whitney(scores, second) == pytest.approx(u / (second.sum() * (~second).sum()))
    # Neither a rising function of the scores nor the order has a say; the classes swapped mirror it.
    assert mann_whitney(np.exp(scores / 7.0), second) == pytest.approx(expected)
    assert mann_whitney(scores[::-1], second[::-1]) == pytest.approx(expected)
    assert mann_whitney(scores, ~second) == pytest.approx(1 - expected)


@given(ITEMS)
def test_swapped_classes_mirror_the_interval_and_leave_the_variance(items):
    scores, second = (np.array(column) for column in zip(*items, strict=True))
    which = np.arange(len(scores))
    assert variance(scores, second, which) == pytest.approx(variance(scores, ~second, which))
    one, other = area(scores, second), area(scores, ~second)
    np.testing.assert_allclose([one.low, one.high], [1 - other.high, 1 - other.low], atol=1e-9)


def obuchowski(scores, second, which):
    """The formulas of the paper, cluster by cluster."""
    table = pairs(scores, second)
    found, (m, n), clusters = table.mean(), table.shape, np.unique(which)
    v, w = table.mean(axis=1), table.mean(axis=0)
    x = np.array([(v[which[second] == c] - found).sum() for c in clusters])
    y = np.array([(w[which[~second] == c] - found).sum() for c in clusters])
    c_x, c_y, c = len(set(which[second])), len(set(which[~second])), len(clusters)
    return (c_x / (c_x - 1) * (x**2).sum() / m**2 + c_y / (c_y - 1) * (y**2).sum() / n**2
            + 2 * c / (c - 1) * (x * y).sum() / (m * n))  # fmt: skip


@pytest.mark.parametrize("size", [1, 3])
def test_the_variance_is_obuchowskis_and_of_single_items_delongs(size):
    rng = np.random.default_rng(0)
    which = np.repeat(np.arange(10), size)
    scores, second = np.round(rng.normal(size=10 * size), 1), np.arange(10 * size) % 2 == 0
    found = variance(scores, second, which)
    assert found == pytest.approx(obuchowski(scores, second, which))
    if size == 1:
        table = pairs(scores, second)
        delong = table.mean(axis=1).var(ddof=1) / len(table) + table.mean(axis=0).var(ddof=1) / len(table.T)
        assert found == pytest.approx(delong)


def drawn(rng, m, n, shift, size, alike):
    """Normal scores of clusters of mixed classes; `alike` is the share of the variance that a cluster has in common."""
    second = rng.permutation(np.arange(m + n) < m)
    which = np.repeat(np.arange((m + n) // size), size)
    common = rng.normal(size=which.max() + 1)[which]
    return np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.normal(size=m + n) + shift * second, second, which


@pytest.mark.parametrize(
    ("shift", "size"),
    simulated([(2.5, (6, 6)), (0.0, (60, 6))], (0.0, 1.0, 2.5), ((6, 6), (30, 10), (60, 6), (40, 40))),
)
def test_the_interval_covers_near_the_edge_too(monkeypatch, shift, size):
    """Each as often as it says or a little more; a symmetric one of DeLong's width covers 55 to 95 %."""
    monkeypatch.setattr(auc, "permutation_p", lambda *_: 1.0)
    rng, true = np.random.default_rng(0), stats.norm.cdf(shift / np.sqrt(2))
    found = [area(*drawn(rng, *size, shift, 1, 0.0)[:2]) for _ in range(300)]
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.93
    assert not any(np.isnan(one.low) for one in found)


@pytest.mark.parametrize(("shift", "alike"), simulated([(0.0, 0.9), (2.0, 0.5)], (0.0, 1.0, 2.0), (0.0, 0.5, 0.9)))
def test_the_interval_of_clustered_items_covers(monkeypatch, shift, alike):
    monkeypatch.setattr(auc, "permutation_p", lambda *_: 1.0)
    rng, true, covered = np.random.default_rng(0), stats.norm.cdf(shift / np.sqrt(2)), []
    for _ in range(300):
        scores, second, which = drawn(rng, 60, 40, shift, 4, alike)
        one = area(scores, second, which.astype(str))
        covered.append(one.low <= true <= one.high)
    assert np.mean(covered) >= 0.92


def test_classes_that_do_not_overlap_are_not_certain():
    second = np.arange(12) >= 6
    one = area(np.arange(12.0), second)
    assert (one.auc, one.high) == (1.0, 1.0)
    assert 0.5 < one.low < 0.9
    # Pairs that say the same are worth half as many items.
    doubled = area(np.repeat(np.arange(12.0), 2), np.repeat(second, 2), np.repeat(np.arange(12), 2).astype(str))
    assert doubled.low < area(np.repeat(np.arange(12.0), 2), np.repeat(second, 2)).low


def test_few_groups_of_a_class_have_no_interval_and_one_class_no_area():
    one = area(np.arange(8.0), np.arange(8) >= 5)
    assert np.isnan([one.low, one.high]).all()
    assert one.auc == 1.0
    assert np.isnan(area(np.arange(8.0), np.ones(8, bool)).auc)


def test_the_test_is_that_of_all_deals():
    rng = np.random.default_rng(1)
    scores, second = np.round(rng.normal(size=8), 1), np.arange(8) < 4
    ranks = stats.rankdata(scores)
    sums = np.array([ranks[list(chosen)].sum() for chosen in itertools.combinations(range(8), 4)])
    exact = min(1.0, 2 * min((sums >= ranks[second].sum()).mean(), (sums <= ranks[second].sum()).mean()))
    assert permutation_p(scores, second, np.arange(8), 0) == pytest.approx(exact, abs=0.03)


def test_the_test_keeps_its_level_where_the_items_of_a_group_are_alike(monkeypatch):
    """Labels of whole groups: a test of the items would find something in 40 of 100 sets."""
    monkeypatch.setattr(auc, "DEALS", 199)
    rng = np.random.default_rng(0)
    which, p = np.repeat(np.arange(16), 5), []
    for seed in range(200):
        scores = rng.normal(size=16)[which] + 0.3 * rng.normal(size=80)
        p.append(permutation_p(scores, rng.permutation(np.arange(16) < 8)[which], which, seed))
    assert np.mean(np.array(p) <= 0.1) <= 0.14
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_pairs_of_different_strata_do_not_count():
    rng = np.random.default_rng(8)
    x, second, strata = rng.normal(size=(3, 50)).round(1), rng.random(50) < 0.4, rng.integers(0, 4, 50)
    won = np.zeros(3)
    pairs = 0
    for i in np.flatnonzero(second):
        for j in np.flatnonzero(~second & (strata == strata[i])):
            won, pairs = won + (x[:, i] > x[:, j]) + (x[:, i] == x[:, j]) / 2, pairs + 1
    np.testing.assert_allclose(areas(x, second, strata), won / pairs)
    np.testing.assert_allclose(areas(x, second), [mann_whitney(one, second) for one in x])
    assert interval(x[0], second, None, strata)[0] == pytest.approx(won[0] / pairs)
    one = area(x[0], second, list(map(str, range(50))))
    np.testing.assert_allclose(interval(x[0], second), (one.auc, one.low, one.high))
    assert np.isnan(areas(x, second, np.arange(50))).all()
    assert np.isnan(interval(x[0], second, None, np.arange(50))).all()


def test_an_interval_within_strata_covers_though_strata_differ():
    """Three strata with other means and shares; the area within each is Phi(d / sqrt 2)."""
    truth, hits = stats.norm.cdf(0.8 / np.sqrt(2)), 0
    for seed in range(400):
        rng = np.random.default_rng((seed, 9))
        strata = rng.integers(0, 3, 90)
        second = rng.random(90) < np.array([0.2, 0.5, 0.8])[strata]
        x = 3.0 * strata + 0.8 * second + rng.normal(size=90)
        _, low, high = interval(x, second, None, strata)
        hits += low <= truth <= high
    assert 0.925 < hits / 400 < 0.985, hits
