"""The original study's rule, number for number on tables worked out by hand with scipy."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from causeway.engine.analyses.as_published.causal_rule import RULES, OriginalRule, decide, original_rule
from causeway.engine.stats.proportions import CountPair


def _trials(counts, n=50):
    """counts: (group, arm) -> (stops, large bets, invalid); the rest are bets of $10. One feature, two prompts."""
    rows = []
    for (group, arm), (stop, large, invalid) in counts.items():
        answers = [("stop", None)] * stop + [("bet", 20.0)] * large + [("invalid", None)] * invalid
        answers += [("bet", 10.0)] * (n - len(answers))
        feature = -1 if arm == "baseline" else 5
        rows += [
            {"prompt_id": int(group == "risky"), "group": group, "layer": min(feature, 25), "feature": feature,
             "arm": arm, "trial": t, "action": a, "amount": m}
            for t, (a, m) in enumerate(answers)
        ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def _counts(safe, safe_patched, risky, risky_patched):
    return {
        ("safe", "baseline"): safe, ("safe", "patch:safe"): safe_patched, ("safe", "patch:risky"): (10, 10, 0),
        ("risky", "baseline"): risky, ("risky", "patch:risky"): risky_patched, ("risky", "patch:safe"): (10, 10, 0),
    }  # fmt: skip


def _only(counts, rule=None):
    (row,) = original_rule(_trials(counts), rule).to_pylist()
    return row


def test_chi_square_with_yates_on_stops_and_on_large_bets():
    row = _only(_counts((10, 5, 0), (25, 5, 0), (5, 20, 0), (5, 22, 0)))
    expected = stats.chi2_contingency([[10, 25], [40, 25]])
    np.testing.assert_allclose(row["original_safe_p_value"], expected.pvalue)
    np.testing.assert_allclose(row["original_safe_effect_size"], 0.3)
    assert row["original_is_causal_safe"]
    assert not row["original_is_causal_risky"]
    assert row["original_interpretation"] == "safe_context_causal"


def test_an_unreadable_answer_passes_for_a_stop_unless_told_otherwise():
    counts = _counts((10, 5, 0), (10, 5, 15), (5, 20, 0), (5, 22, 0))
    assert _only(counts)["original_is_causal_safe"]
    assert not _only(counts, OriginalRule(invalid="other"))["original_is_causal_safe"]


def test_a_small_cell_is_not_tested():
    row = _only(_counts((4, 5, 0), (30, 5, 0), (5, 10, 0), (5, 30, 0)))
    assert (row["original_safe_p_value"], row["original_safe_effect_size"]) == (1.0, 0.0)
    assert row["original_interpretation"] == "risky_context_causal"


def test_the_sign_is_free_and_both_contexts_make_it_bidirectional():
    row = _only(_counts((30, 5, 0), (10, 5, 0), (5, 30, 0), (5, 10, 0)))
    assert row["original_interpretation"] == "bidirectional_causal"
    assert row["original_safe_effect_size"] < 0


def test_the_bet_threshold_is_a_parameter():
    counts = _counts((10, 5, 0), (10, 5, 0), (5, 10, 0), (5, 30, 0))
    assert _only(counts)["original_is_causal_risky"]
    assert not _only(counts, OriginalRule(large_bet=20.0))["original_is_causal_risky"]


def test_nothing_testable_at_all():
    assert _only(_counts((0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)))["original_interpretation"] == "no_causal_effect"


def test_exact_trials_and_missing_arms_are_refused():
    trials = _trials(_counts((10, 5, 0), (10, 5, 0), (5, 10, 0), (5, 30, 0)))
    with pytest.raises(ValueError, match="run the sampled outcome"):
        original_rule(trials.drop_columns(["action", "amount"]))
    with pytest.raises(ValueError, match=r"lacks arms \['patch:tame'\] and groups \['tame'\]"):
        original_rule(trials, OriginalRule(safe="tame"))


def test_decisions_are_those_of_scipys_test_on_every_table():
    k_1, k_2 = (k.ravel() for k in np.meshgrid(np.arange(13), np.arange(17)))
    found = decide(CountPair(k_1, np.full_like(k_1, 12), k_2, np.full_like(k_2, 16)), RULES["v2"])
    for a, b, p in zip(k_1, k_2, found.p, strict=True):
        table = [[a, b], [12 - a, 16 - b]]
        one = a + b in (0, 28)
        np.testing.assert_allclose(p, 1.0 if one else stats.chi2_contingency(table, correction=True).pvalue)


def test_the_second_version_leaves_unreadable_answers_out_and_counts_bets_of_20_dollars():
    counts = _counts((20, 0, 20), (20, 0, 0), (0, 10, 0), (0, 30, 0))
    row = _only(counts, RULES["v2"])
    np.testing.assert_allclose(row["original_safe_effect_size"], 20 / 50 - 20 / 30)
    assert (row["original_is_causal_safe"], row["original_is_causal_risky"]) == (True, True)
