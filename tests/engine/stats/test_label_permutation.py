"""Dealing labels anew: exact against enumeration, blind to the order of rows, within strata, finer where it matters."""

import itertools

import numpy as np
import pytest
from scipy import sparse, stats

from causeway.engine.stats import label_permutation
from causeway.engine.stats.label_permutation import label_permutation_test

NONE = np.zeros(12, int)


def _enumerated(row, second):
    """p of one feature by its definition."""
    chosen = itertools.combinations(range(len(row)), int(second.sum()))
    sums = np.array([row[list(rows)].sum() for rows in chosen])
    came = row[second].sum()
    return min(1, 2 * min((sums >= came - 1e-9).mean(), (sums <= came + 1e-9).mean()))


@pytest.fixture
def few():
    """Six features of twelve rows, four of them in the second group."""
    rng = np.random.default_rng(0)
    values = np.where(rng.random((6, 12)) < 0.6, rng.lognormal(size=(6, 12)), 0)
    return values, np.arange(12) % 3 == 0


def test_few_deals_are_all_tried(few):
    values, second = few
    found = label_permutation_test(sparse.csr_array(values), second, NONE, seed=0)
    np.testing.assert_allclose(found.p, [_enumerated(row, second) for row in values])
    assert found.deals == "all 495 deals of the labels"
    assert found.least == pytest.approx(2 / 495)


def test_drawn_deals_agree_with_all_of_them(few, monkeypatch):
    values, second = few
    exact = label_permutation_test(sparse.csr_array(values), second, NONE, seed=0).p
    monkeypatch.setattr(label_permutation, "EXACT", 0)
    monkeypatch.setattr(label_permutation, "FIRST_DEALS", 20_000)
    drawn = label_permutation_test(sparse.csr_array(values), second, NONE, seed=0).p
    np.testing.assert_allclose(drawn, exact, atol=0.03)


def test_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(1)
    values, second, strata = rng.random((20, 60)), rng.random(60) < 0.3, rng.integers(0, 2, 60)
    order = rng.permutation(60)
    a = label_permutation_test(sparse.csr_array(values), second, strata, seed=0)
    b = label_permutation_test(sparse.csr_array(values[:, order]), second[order], strata[order], seed=0)
    np.testing.assert_array_equal(a.p, b.p)


def test_labels_are_dealt_within_strata():
    """What the stratum alone decides is no difference, nor what varies in a stratum of one group."""
    second, strata = np.array([0, 0, 0, 1, 1, 1, 0, 1, 0, 0], bool), np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    rng = np.random.default_rng(2)
    values = np.stack([5.0 * strata, rng.random(10), np.where(strata == 2, rng.random(10), 1)])
    found = label_permutation_test(sparse.csr_array(values), second, strata, seed=0)
    assert np.isnan(found.p[[0, 2]]).all()
    assert found.deals == "all 16 deals of the labels"
    assert found.p[1] >= found.least == pytest.approx(2 / 16)


@pytest.mark.slow
def test_strong_differences_are_resolved_and_the_rest_stays_uniform():
    rng = np.random.default_rng(3)
    values, second = rng.lognormal(size=(1000, 100)), np.arange(100) < 30
    values[:3, :30] += 10
    p = label_permutation_test(sparse.csr_array(values), second, np.zeros(100, int), seed=0).p
    assert p[:3].max() < 2e-5
    assert stats.kstest(p[3:], "uniform").pvalue > 0.001


def test_one_group_in_every_stratum_tests_nothing():
    second = np.array([True, True, False, False])
    found = label_permutation_test(
        sparse.csr_array(np.random.default_rng(4).random((3, 4))), second, second * 1, seed=0
    )
    assert np.isnan(found.p).all()
    assert found.least == 1


def test_labels_of_a_cluster_stay_together():
    """Of eight clusters of five equal rows and equal labels there are 70 deals, not 40 rows' worth of them."""
    values = np.repeat(np.array([[1, 2, 3, 4, 5, 6, 7, 8.0]]), 5, axis=1)
    second, clusters = np.repeat([0, 0, 0, 0, 1, 1, 1, 1], 5) > 0, np.repeat(np.arange(8), 5)
    given = sparse.csr_array(values), second, np.zeros(40, int)
    assert label_permutation_test(*given, seed=0).p[0] < 0.01
    assert label_permutation_test(*given, seed=0, clusters=clusters).p[0] == pytest.approx(2 / 70, abs=0.01)


def test_clusters_of_single_rows_are_rows():
    rng = np.random.default_rng(4)
    given = sparse.csr_array(rng.random((5, 50))), rng.random(50) < 0.4, rng.integers(0, 2, 50)
    alone, clustered = (label_permutation_test(*given, seed=0, clusters=c).p for c in (None, rng.permutation(50) + 7))
    np.testing.assert_array_equal(alone, clustered)


def test_the_order_of_rows_in_clusters_changes_nothing():
    rng = np.random.default_rng(5)
    values, second, clusters = rng.random((6, 60)), rng.random(60) < 0.4, rng.integers(0, 25, 60)
    strata = clusters % 2
    order, names = rng.permutation(60), rng.permutation(25)
    a = label_permutation_test(sparse.csr_array(values), second, strata, seed=0, clusters=clusters)
    b = label_permutation_test(
        sparse.csr_array(values[:, order]), second[order], strata[order], seed=0, clusters=names[clusters][order]
    )
    np.testing.assert_allclose(a.p, b.p)


def test_clusters_of_equal_labels_have_one_deal():
    second, clusters = np.array([1, 0, 1, 0], bool), np.array([0, 0, 1, 1])
    found = label_permutation_test(
        sparse.csr_array([[1.0, 2.0, 3.0, 4.0]]), second, np.zeros(4, int), seed=0, clusters=clusters
    )
    assert np.isnan(found.p).all()
