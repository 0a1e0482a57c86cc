"""Stratified differences: Welch with one stratum, free of confounds with several."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.stats.splits import selection_half
from causeway.engine.stats.strata import stratified_difference


def _cells(groups, labels, strata):
    """Mean, variance and size of each stratum for one group."""
    parts = [groups[labels == s] for s in strata]
    return (
        np.array([p.mean(0) if len(p) else np.zeros(groups.shape[1]) for p in parts]),
        np.array([p.var(0, ddof=1) if len(p) > 1 else np.full(groups.shape[1], np.nan) for p in parts]),
        np.array([[float(len(p))] for p in parts]),
    )


def test_one_stratum_is_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(12, 4)), rng.normal(0.5, 2, size=(30, 4))
    found = stratified_difference(*_cells(a, np.zeros(12), [0]), *_cells(b, np.zeros(30), [0]))
    expected = stats.ttest_ind(b, a, equal_var=False)
    np.testing.assert_allclose(found.t, expected.statistic)
    np.testing.assert_allclose(found.p, expected.pvalue)
    low, high = found.interval()
    np.testing.assert_allclose([low, high], [expected.confidence_interval().low, expected.confidence_interval().high])


def test_a_confound_is_removed():
    """The feature follows the stratum alone; the groups sit in the strata unevenly."""
    rng = np.random.default_rng(1)
    strata_a, strata_b = rng.choice(2, 400, p=[0.8, 0.2]), rng.choice(2, 400, p=[0.2, 0.8])
    a, b = (rng.normal(3.0 * s[:, None], 1, size=(400, 200)) for s in (strata_a, strata_b))
    assert (stats.ttest_ind(b, a, equal_var=False).pvalue < 1e-6).all()
    found = stratified_difference(*_cells(a, strata_a, [0, 1]), *_cells(b, strata_b, [0, 1]))
    assert (found.p < 0.05).mean() < 0.11
    assert stats.kstest(found.p, "uniform").pvalue > 0.01
    assert np.abs(found.d).max() < 0.35


def test_a_stratum_with_one_group_only_is_left_out():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=(30, 3))
    labels = np.array([0] * 20 + [1] * 10)
    both = stratified_difference(*_cells(a, np.zeros(20), [0, 1]), *_cells(b, labels, [0, 1]))
    one = stratified_difference(*_cells(a, np.zeros(20), [0]), *_cells(b[:20], np.zeros(20), [0]))
    np.testing.assert_allclose(both.difference, one.difference)
    np.testing.assert_allclose(both.p, one.p)


def test_no_common_stratum_gives_no_answer():
    a, b = np.ones((3, 2)), np.ones((3, 2))
    found = stratified_difference(*_cells(a, np.zeros(3), [0, 1]), *_cells(b, np.ones(3), [0, 1]))
    assert np.isnan(found.difference).all()
    assert np.isnan(found.p).all()


def _d(a, b):
    arrays = [(x.mean(-1)[None], x.var(-1, ddof=1)[None], np.array([[float(x.shape[-1])]])) for x in (a, b)]
    return stratified_difference(*arrays[0], *arrays[1]).d


def test_d_of_one_stratum_is_positive_where_the_second_group_is_higher():
    a, b = np.array([[0.0, 1.0, 2.0]]), np.array([[2.0, 3.0, 4.0]])
    np.testing.assert_allclose(_d(a, b), [2.0])
    np.testing.assert_allclose(_d(b, a), [-2.0])


def test_d_does_not_change_with_shift_and_positive_scale():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 20)), rng.normal(0.5, 2.0, size=(5, 30))
    np.testing.assert_allclose(_d(3 * a + 7, 3 * b + 7), _d(a, b), rtol=1e-10)


def test_without_variation_there_is_no_d():
    assert np.isnan(_d(np.ones((1, 4)), np.ones((1, 4)) * 2)).all()


def test_halves_are_even_in_every_stratum_and_do_not_depend_on_order():
    ids = np.arange(41)
    strata = ["safe"] * 20 + ["risky"] * 21
    chosen = selection_half(ids, strata, seed=0)
    assert chosen[:20].sum() == 10
    assert chosen[20:].sum() in (10, 11)
    order = np.random.default_rng(3).permutation(41)
    np.testing.assert_array_equal(selection_half(ids[order], [strata[i] for i in order], seed=0), chosen[order])
    assert (selection_half(ids, strata, seed=1) != chosen).any()
    assert selection_half(ids, [str(i) for i in ids], seed=0).sum() == (len(ids) + 1) // 2  # strata of one prompt each


def test_halves_refuse_an_id_that_comes_twice():
    with pytest.raises(ValueError, match="give each prompt once"):
        selection_half(np.array([1, 1]), seed=0)
