"""What the study's rule declares of nothing: computed, simulated, and as its reviewers computed it."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from causeway.engine.analyses.as_published.causal_rule import RULES, decide
from causeway.engine.analyses.audit.calibration import _by_baseline, calibration, flag_rate, most_declared
from causeway.engine.stats.proportions import CountPair
from causeway.ports.results.study_files import read_earlier
from tests.simulated_study import simulated_study


def by_hand(n_1, n_2, rate, shift, least_cell):
    """The same sum, one pair of counts at a time, by scipy's test."""
    total = 0.0
    for k_1 in range(n_1 + 1):
        for k_2 in range(n_2 + 1):
            table = [[k_1, k_2], [n_1 - k_1, n_2 - k_2]]
            if min(min(row) for row in table) < least_cell or k_1 + k_2 in (0, n_1 + n_2):
                continue
            p = stats.chi2_contingency(table, correction=True).pvalue
            if p < 0.05 and abs(k_2 / n_2 - k_1 / n_1) > 0.1:
                total += stats.binom.pmf(k_1, n_1, rate) * stats.binom.pmf(k_2, n_2, rate + shift)
    return total


@pytest.mark.parametrize(("rule", "least_cell"), [("v1", 5), ("v2", 0)])
@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_the_rate_is_the_sum_over_all_counts_that_the_rule_calls_causal(rule, least_cell, shift):
    found = flag_rate(RULES[rule], 14, 17, 0.4, shift)
    np.testing.assert_allclose(found, by_hand(14, 17, 0.4, shift, least_cell), rtol=1e-10)


@pytest.mark.parametrize(("trials", "rate"), [(30, 0.026), (50, 0.031)])
def test_null_features_pass_a_test_as_often_as_is_known_of_the_rule(trials, rate):
    assert flag_rate(RULES["v2"], trials, trials, 0.3) == pytest.approx(rate, abs=0.0006)


@pytest.mark.parametrize(("shift", "rate"), [(0.1, 0.13), (0.15, 0.27), (0.2, 0.46)])
def test_a_common_shift_makes_null_features_pass_as_often_as_is_known(shift, rate):
    assert flag_rate(RULES["v2"], 50, 50, 0.3, shift) == pytest.approx(rate, abs=0.006)


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    study = simulated_study(tmp_path_factory.mktemp("null") / "study", features=600, causal=0.0, wordy=0.0, length=1)
    return read_earlier(study.folder)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    study = simulated_study(
        tmp_path_factory.mktemp("shifted") / "study", features=600, causal=0.0, wordy=0.0, length=1, shift=0.15
    )
    return read_earlier(study.folder)


def test_a_study_of_nothing_declares_what_chance_was_computed_to_give(null):
    found = calibration(null.features, null.responses)
    spread = np.sqrt(found["expected"])
    assert abs(found["declared"] - found["expected"]) < 3 * spread
    assert found["declared"] <= found["most_by_chance"]
    assert found["agreement"]["v1"] == 1.0
    for context in found["contexts"].values():
        assert abs(context["shift"]) < 3 * context["shift_error"]


def test_a_common_shift_is_found_and_explains_what_is_declared(shifted):
    found = calibration(shifted.features, shifted.responses)
    # Unreadable answers, a tenth, do not move.
    for context in found["contexts"].values():
        assert context["shift"] == pytest.approx(0.135, abs=0.015)
    assert abs(found["declared"] - found["expected_under_shift"]) < 4 * np.sqrt(found["expected_under_shift"])
    assert found["declared"] > 3 * found["most_by_chance"]


@pytest.mark.slow
def test_effects_of_a_tenth_of_the_features_are_no_common_shift(tmp_path):
    study = simulated_study(tmp_path / "study", features=400, causal=0.2, length=1)
    found = calibration(*(getattr(read_earlier(study.folder), name) for name in ("features", "responses")))
    assert all(abs(context["shift"]) < 0.03 for context in found["contexts"].values())
    assert found["declared"] > found["most_by_chance"]


def test_features_that_were_tested_and_are_not_reported_count(null):
    some, all_ = (calibration(null.features, null.responses, tested) for tested in (0, 2000))
    assert all_["expected"] == pytest.approx(some["expected"] * 2000 / 600)


def test_the_rule_that_agrees_is_found_and_responses_without_actions_are_refused(null):
    flipped = null.features.set_column(
        null.features.column_names.index("is_causal_safe"), "is_causal_safe", [[True] * 600]
    )
    assert max(calibration(flipped, null.responses)["agreement"].values()) < 0.1
    at = null.responses.column_names.index("action")
    field = null.responses.schema.field(at)
    unparsed = null.responses.set_column(at, field, pa.nulls(null.responses.num_rows, field.type))
    with pytest.raises(ValueError, match="none has a parsed action"):
        calibration(null.features, unparsed)


def test_features_that_share_a_baseline_are_declared_together_and_the_bound_knows():
    rng, features, n, rate = np.random.default_rng(0), 50, 30, 0.4
    rule = RULES["v2"]
    declared = np.zeros(4000, int)
    for study in range(len(declared)):
        hit = np.zeros(features, bool)
        for _ in range(2):
            k_1, k_2 = rng.binomial(n, rate), rng.binomial(n, rate, features)
            hit |= decide(
                CountPair(np.full(features, k_1), np.full(features, n), k_2, np.full(features, n)), rule
            ).causal
        declared[study] = hit.sum()
    bound = most_declared(features, [_by_baseline(rule, n, n, rate)] * 2)
    assert np.mean(declared <= bound) >= 0.975 - 0.005
    assert np.mean(declared <= bound - 2) < 0.978
    apart = stats.binom.ppf(0.975, features, 1 - (1 - flag_rate(rule, n, n, rate)) ** 2)
    assert bound > 1.5 * apart


def test_a_bound_of_baselines_that_all_give_one_rate_is_binomials():
    bound = most_declared(200, [(np.full(4, 0.25), np.full(4, 0.03)), (np.ones(1), np.zeros(1))])
    assert bound == stats.binom.ppf(0.975, 200, 0.03)
