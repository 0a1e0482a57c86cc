"""The screening table: equal to scipy on whole arrays, free of batches and confounds, readable by name."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest
from scipy import stats

from causeway.engine.analyses.screen.accumulate import GroupSums
from causeway.engine.analyses.screen.summary import lines, summarise
from causeway.engine.analyses.screen.table import METADATA_KEY, screen_table
from causeway.engine.analyses.screen.values import feature_values, strongest
from causeway.engine.stats import multiple

GROUPS = ("safe", "risky")


def _activations(n=240, features=30, layers=(1, 4), seed=0):
    rng = np.random.default_rng(seed)
    labels = np.array([GROUPS[i] for i in rng.integers(0, 2, n)])
    values = {}
    for layer in layers:
        x = rng.normal(-0.5, 1, size=(n, features))
        x[:, 2] += 1.5 * (labels == "risky")
        x[:, 3] = -1
        values[layer] = np.maximum(x, 0).astype(np.float32)
    return values, labels


def _sums(values, labels, size=50, strata=None, order=None):
    sums = GroupSums(GROUPS)
    order = np.arange(len(labels)) if order is None else order
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        for layer, x in values.items():
            sums.update(layer, x[rows], labels[rows].tolist(), None if strata is None else strata[rows].tolist())
    return sums


def _column(table, name, layer=None):
    x = table[name].to_numpy().astype(np.float64)
    return x if layer is None else x[table["layer"].to_numpy() == layer]


def test_equals_scipy_on_whole_arrays():
    values, labels = _activations()
    table = screen_table(_sums(values, labels))
    for layer, x in values.items():
        safe, risky = (x[labels == g].astype(np.float64) for g in GROUPS)
        with np.errstate(all="ignore"):
            expected = stats.ttest_ind(risky, safe, equal_var=False)
            pooled = np.sqrt(
                ((len(safe) - 1) * safe.var(0, ddof=1) + (len(risky) - 1) * risky.var(0, ddof=1)) / (len(x) - 2)
            )
            d = (risky.mean(0) - safe.mean(0)) / pooled
        np.testing.assert_allclose(_column(table, "t", layer), expected.statistic, rtol=1e-8)
        tested = ~np.isnan(expected.pvalue)
        p, welch = _column(table, "p", layer)[tested], expected.pvalue[tested]
        np.testing.assert_allclose(p[welch > 0.01], welch[welch > 0.01], atol=0.06)
        np.testing.assert_allclose(_column(table, "d", layer), d, rtol=1e-8)
        np.testing.assert_allclose(_column(table, "mean_risky", layer), risky.mean(0))
        np.testing.assert_allclose(_column(table, "active_fraction_safe", layer), (safe > 0).mean(0))
    assert (_column(table, "d")[table["feature"].to_numpy() == 2] > 0.8).all()


def test_batches_and_order_do_not_matter():
    values, labels = _activations()
    one = screen_table(_sums(values, labels, size=240))
    other = screen_table(_sums(values, labels, size=17, order=np.random.default_rng(1).permutation(240)))
    for name in one.column_names:
        np.testing.assert_allclose(_column(one, name), _column(other, name), rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_silent_feature_is_untestable_and_outside_the_family():
    values, labels = _activations()
    table = screen_table(_sums(values, labels))
    silent = table.filter(np.isin(table["feature"].to_numpy(), [3]))
    assert silent["p"].null_count == silent["q"].null_count == silent["d"].null_count == 2
    assert json.loads(table.schema.metadata[METADATA_KEY])["family_size"] == 2 * 29
    known = ~np.isnan(_column(table, "p"))
    np.testing.assert_allclose(_column(table, "q")[known], stats.false_discovery_control(_column(table, "p")[known]))


def test_the_sign_is_written_beside_the_numbers():
    values, labels = _activations()
    reading = json.loads(screen_table(_sums(values, labels)).schema.metadata[METADATA_KEY])
    assert reading["sign"].endswith("risky minus safe: positive where risky is higher")
    assert reading["groups"] == list(GROUPS)


@pytest.mark.slow
def test_strata_remove_a_confound():
    """Features follow the balance; the groups differ in balance and in nothing else."""
    rng = np.random.default_rng(2)
    balance = rng.integers(0, 3, 600)
    labels = np.where(rng.uniform(size=600) < np.array([0.2, 0.5, 0.8])[balance], "risky", "safe")
    values = {0: np.maximum(rng.normal(balance[:, None], 1, size=(600, 100)), 0)}
    table = screen_table(_sums(values, labels, strata=balance.astype(str)))
    assert (_column(table, "q") < 0.05).mean() > 0.95
    assert (_column(table, "q_stratified") < 0.05).mean() < 0.05
    assert np.abs(_column(table, "d_stratified")).mean() < 0.2 < np.abs(_column(table, "d")).mean()
    plain = screen_table(_sums(values, labels))
    np.testing.assert_allclose(_column(plain, "t"), _column(table, "t"), rtol=1e-8)
    assert "q_stratified" not in plain.column_names


def test_patch_values_follow_their_rule():
    values, labels = _activations()
    table = screen_table(_sums(values, labels))
    x = values[4][labels == "risky"][:, 2].astype(np.float64)
    row = np.flatnonzero((table["layer"].to_numpy() == 4) & (table["feature"].to_numpy() == 2))[0]
    np.testing.assert_allclose(feature_values(table, "mean").values["risky"][row], x.mean())
    np.testing.assert_allclose(feature_values(table, "mean_active").values["risky"][row], x[x > 0].mean())
    exact = np.quantile(x[x > 0], 0.9, method="inverted_cdf")
    np.testing.assert_allclose(feature_values(table, "q90").values["risky"][row], exact, rtol=0.022)
    assert feature_values(table, {"safe": 0.0, "risky": 3.5}).values["risky"][row] == 3.5
    silent = table["feature"].to_numpy() == 3
    assert (feature_values(table, "mean_active").values["safe"][silent] == 0).all()
    with pytest.raises(ValueError, match="value: got 'median'; needs one of mean, mean_active, "):
        feature_values(table, "median")


def test_the_strongest_of_each_layer():
    values, labels = _activations()
    table = screen_table(_sums(values, labels))
    best = strongest(table, 5)
    assert best["layer"].to_pylist() == [1] * 5 + [4] * 5
    size = np.abs(_column(best, "d"))
    assert (np.diff(size[:5]) <= 0).all()
    assert best["feature"][0].as_py() == 2
    assert strongest(table.filter(pc.field("q") <= 0.01), 5)["feature"].to_pylist() == [2, 2]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="needs two distinct names"):
        GroupSums(("safe", "safe"))
    sums = GroupSums(GROUPS)
    with pytest.raises(ValueError, match=r"labels: \['odd'\] not among"):
        sums.update(0, np.zeros((1, 3)), ["odd"])
    with pytest.raises(ValueError, match=r"shape \(2, 3\) with 1 labels"):
        sums.update(0, np.zeros((2, 3)), ["safe"])
    sums.update(0, np.zeros((2, 3)), ["safe", "risky"])
    with pytest.raises(ValueError, match="4 features at layer 0, 3 before"):
        sums.update(0, np.zeros((1, 4)), ["safe"])
    with pytest.raises(ValueError, match="needs two or more to compare"):
        screen_table(sums)
    with pytest.raises(ValueError, match="no activations"):
        screen_table(GroupSums(GROUPS))


@pytest.mark.parametrize(("safe", "risky"), [(460, 20), (240, 240), (80, 4), (20, 20), (5, 5), (2, 38)])
def test_labels_at_random_find_no_feature(safe, risky):
    """Sparse lognormal features of two layers; in the strata, the groups sit unevenly."""
    rng = np.random.default_rng((safe, risky))
    labels = np.array(["safe"] * safe + ["risky"] * risky)
    rate = rng.choice([0.02, 0.1, 0.5, 1.0], size=300)
    values = {
        layer: np.where(rng.random((len(labels), 300)) < rate, rng.lognormal(size=(len(labels), 300)), 0)
        for layer in (0, 3)
    }
    table = screen_table(_sums(values, labels, strata=(np.arange(len(labels)) % 3).astype(str)))
    for suffix in ("", "_stratified"):
        p = _column(table, f"p{suffix}")
        p = p[~np.isnan(p)]
        for alpha in (0.001, 0.01, 0.05, 0.2):
            assert (p <= alpha).sum() <= stats.binom.isf(1e-3, len(p), alpha) if len(p) else True
        assert (_column(table, f"q{suffix}") < 0.05).sum() == 0
    if (safe, risky) == (460, 20):
        # What the test stands in for.
        x = np.concatenate(list(values.values()), axis=1)
        welch = stats.ttest_ind(x[labels == "risky"], x[labels == "safe"], equal_var=False).pvalue
        assert (multiple.adjust(welch).q < 0.05).sum() > 50


def test_a_difference_is_found_in_groups_of_one_to_twenty():
    rng = np.random.default_rng(5)
    labels = np.array(["safe"] * 460 + ["risky"] * 20)
    x = np.where(rng.random((480, 200)) < 0.1, rng.lognormal(size=(480, 200)), 0)
    x[labels == "risky", :5] += rng.lognormal(size=(20, 5))
    q = _column(screen_table(_sums({0: x}, labels)), "q")
    assert (q[:5] < 0.05).all()
    assert (q[5:] < 0.05).sum() <= 1


def test_prompts_too_few_for_any_p_are_said_to_tell_nothing():
    labels = np.array([*["safe"] * 3, *["risky"] * 3])
    table = screen_table(_sums({0: np.random.default_rng(0).random((6, 4))}, labels))
    reading = json.loads(table.schema.metadata[METADATA_KEY])
    assert reading["test"] == "difference of means, all 20 deals of the labels"
    assert reading["least_p"] == pytest.approx(0.1)
    text = "\n".join(lines(summarise(table)))
    assert "cannot tell: so few prompts give no p below 0.1, whatever they hold" in text


def test_layers_of_other_rows_are_refused():
    sums = GroupSums(GROUPS)
    sums.update(0, np.ones((4, 2)), ["safe", "risky", "safe", "risky"])
    sums.update(1, np.ones((4, 2)), ["safe", "safe", "risky", "risky"])
    with pytest.raises(ValueError, match="layer 1: other rows than layer 0"):
        screen_table(sums)
