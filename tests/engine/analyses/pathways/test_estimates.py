"""Statistics of pairs: against loops, on what is nothing, and the documents' own rules."""

import numpy as np
import pytest
from scipy import stats

from causeway.engine.analyses.pathways.calibration import calibration
from causeway.engine.analyses.pathways.estimates import (
    Rule,
    estimate,
    null_band,
    null_p,
    pair_table,
)
from causeway.engine.analyses.pathways.passes import Nodes
from causeway.engine.analyses.pathways.replay import Measured
from causeway.engine.analyses.pathways.selection import SelectedPairs
from causeway.engine.stats.conformal import fewest_draws
from causeway.engine.stats.multiple import adjust

SHAPES = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "exponential": lambda rng, shape: rng.exponential(1, shape) - 1,
    "lognormal": lambda rng, shape: rng.lognormal(0, 1, shape) - np.exp(0.5),
    "heavy": lambda rng, shape: rng.standard_t(3, shape),
    "mostly zero": lambda rng, shape: rng.lognormal(0, 0.7, shape) * rng.choice([-2, 0, 0, 2], shape),
}


def _measured(pre, random):
    return Measured(pre, pre, np.abs(pre) + 1, np.ones_like(pre), np.ones_like(pre), random)


def _drawn(name, pairs, prompts, seed, shift=0.0, draws=19):
    rng = np.random.default_rng((seed, prompts, pairs))
    return _measured(SHAPES[name](rng, (pairs, prompts)) + shift, SHAPES[name](rng, (pairs, draws, prompts)))


@pytest.mark.parametrize("prompts", [12, 20, 40])
@pytest.mark.parametrize("name", SHAPES)
def test_of_a_thousand_pairs_that_do_nothing_none_is_called_a_pathway(name, prompts):
    found = [estimate(_drawn(name, 1000, prompts, seed), np.zeros((1000, prompts)), Rule()) for seed in range(5)]
    assert sum(bool(one.validated.any()) for one in found) == 0


def test_p_alone_would_be_wrong_of_skewed_changes():
    found = [estimate(_drawn("lognormal", 1000, 40, seed), np.zeros((1000, 40)), Rule()) for seed in range(5)]
    assert sum(np.nanmin(adjust(one.mean.p).q) < 0.05 for one in found) > 0
    assert min(np.nanmin(one.q) for one in found) > 0.05


@pytest.mark.parametrize("name", ["normal", "lognormal"])
def test_among_pairs_that_do_nothing_those_that_do_something_are_found(name):
    shares, false = [], []
    for seed in range(5):
        nothing, something = _drawn(name, 800, 30, seed), _drawn(name, 200, 30, seed + 100, shift=4.0)
        pre, random = np.concatenate([nothing.pre, something.pre]), np.concatenate([nothing.random, something.random])
        found = estimate(_measured(pre, random), np.zeros((1000, 30)), Rule())
        shares.append(found.validated[800:].mean())
        false.append(found.validated[:800].sum() / max(1, found.validated.sum()))
    assert np.mean(shares) > 0.9
    assert np.mean(false) <= 0.05


def test_p_null_is_the_share_of_random_features_as_far_out_among_the_other_random_ones():
    rng = np.random.default_rng(0)
    effect, random = rng.standard_normal(7), rng.standard_normal((7, 5))
    random[2] = 0.0
    effect[3] = 0.0

    def ratio(value, others):
        rms = np.sqrt(np.mean(others**2))
        return 0.0 if value == 0 else np.inf if rms == 0 else abs(value) / rms

    null = [ratio(row[at], np.delete(row, at)) for row in random for at in range(5)]
    own = [ratio(value, row[:4]) for value, row in zip(effect, random, strict=True)]
    expected = [(1 + sum(one >= mine for one in null)) / (1 + len(null)) for mine in own]
    np.testing.assert_allclose(null_p(effect, random), expected)
    assert expected[3] == 1.0
    assert expected[2] == 1 / (1 + len(null))


@pytest.mark.parametrize("real", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", ["normal", "lognormal"])
def test_however_many_pairs_are_real_those_that_do_nothing_have_an_even_p_null_and_few_are_declared(name, real):
    small, false, found = [], [], []
    count, prompts = 1000, 30
    nothing = np.arange(round(count / (1 - real))) < count
    for seed in range(3):
        drawn = _drawn(name, len(nothing), prompts, seed)
        scale = np.random.default_rng(seed).lognormal(0, 2, len(nothing))
        pre = (drawn.pre + np.where(nothing, 0.0, 4.0)[:, None]) * scale[:, None]
        random = drawn.random * scale[:, None, None]
        small.append((null_p(pre.mean(axis=1), random.mean(axis=2))[nothing] < 0.05).mean())
        estimates = estimate(_measured(pre, random), np.zeros_like(pre), Rule(tau=0.0))
        false.append(estimates.validated[nothing].sum() / max(1, estimates.validated.sum()))
        found.append(estimates.validated[~nothing].mean() if real else 1.0)
    assert 0.03 < np.mean(small) < 0.065
    assert np.mean(false) <= 0.05
    assert np.mean(found) > 0.9


def test_a_band_takes_as_many_random_features_as_its_level_says():
    random = np.arange(19.0)[None, :, None] * np.array([1, -1, 1])[None, None]
    assert fewest_draws(0.05) == 19
    assert null_band(random, 0.95)[0] == np.abs(random.mean(axis=2)).max()
    assert np.isnan(null_band(random[:, :18], 0.95)).all()


def _pairs(count):
    source, target = Nodes.of([(0, n) for n in range(count)]), Nodes.of([(1, 0)] * count)
    return SelectedPairs(source, target, np.array(["selected"] * count), np.zeros(count))


def test_nothing_is_validated_without_random_features_and_nothing_denied_that_holds():
    rng = np.random.default_rng(1)
    pre = rng.standard_normal((2, 15)) + np.array([[3.0], [0.0]])
    measured = _measured(pre, np.zeros((2, 0, 15)))
    table = pair_table(_pairs(2), measured, estimate(measured, pre, Rule()), pre)
    assert table["validated"].to_pylist() == [None, False]
    assert table["exceeds_null"].to_pylist() == [None, None]


def test_the_documents_rules_are_those_of_scipy():
    rng = np.random.default_rng(2)
    clean = rng.lognormal(0, 1, (4, 12))
    change = rng.standard_normal((4, 12)) * 0.1 - np.array([[2.0], [0.0], [0.15], [1.0]])
    source = clean * np.array([[1.0], [0.3], [-1.0], [1.0]]) + 0.1 * rng.standard_normal((4, 12))
    moved = 3.0 * rng.integers(4, 40, (4, 12)) - source
    measured = Measured(change, change, clean, moved, source, np.zeros((4, 19, 12)))
    table = pair_table(_pairs(4), measured, estimate(measured, change, Rule()), change).to_pylist()
    for row, own, before, drives in zip(table, change, clean, source, strict=True):
        p = stats.ttest_ind(before + own, before).pvalue
        assert row["original_p"] == pytest.approx(p)
        assert row["original_pathway"] == (p < 0.05 and abs(own.mean()) > 0.1)
        assert row["original_strong"] == (p < 0.01 and abs(own.mean()) > 0.2)
        assert row["original_r"] == pytest.approx(stats.pearsonr(drives, before).statistic)
        assert row["original_correlated"] == (abs(row["original_r"]) > 0.7)


def test_the_documents_rules_say_nothing_where_they_cannot_be_evaluated():
    rng = np.random.default_rng(4)
    clean, change = rng.lognormal(0, 1, (2, 12)), np.full((2, 12), 0.5)
    clean[0] = 0.0
    same = np.ones((2, 12))
    measured = Measured(change, change, clean, -same, same, np.zeros((2, 19, 12)))
    silent, still = pair_table(_pairs(2), measured, estimate(measured, change, Rule()), change).to_pylist()
    assert [silent[f"original_{name}"] for name in ("p", "pathway", "strong")] == [None] * 3
    assert still["original_pathway"] is not None
    for row in (silent, still):
        assert row["original_r"] is None
        assert row["original_correlated"] is None


def test_calibration_is_slope_rank_correlation_and_sign_by_stratum_with_intervals_that_hold_them():
    rng = np.random.default_rng(3)
    predicted = rng.standard_normal((40, 1)) + 0.2 * rng.standard_normal((40, 20))
    measured = 0.5 * predicted + 0.1 * rng.standard_normal((40, 20))
    strata = np.array(["selected"] * 30 + ["random"] * 10)
    found = calibration(predicted, measured, strata)
    assert list(found) == ["all", "random", "selected"]
    for name, mine in (("all", strata != ""), ("random", strata == "random"), ("selected", strata == "selected")):
        x, y = predicted[mine].mean(axis=1), measured[mine].mean(axis=1)
        assert found[name]["slope"] == pytest.approx(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0])
        assert found[name]["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert found[name]["sign"] == pytest.approx((np.sign(x) == np.sign(y)).mean())
        assert found[name]["slope_low"] < 0.5 < found[name]["slope_high"]
    assert calibration(predicted[:3], measured[:3], strata[:3])["all"]["slope_low"] is None
