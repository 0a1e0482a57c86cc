"""The page of numbers: means by arm, the strongest features, and JSON that any reader takes."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from causeway.engine.analyses.patch_sweep.effects import EffectSettings, effects
from causeway.engine.analyses.patch_sweep.run import write_original_rule
from causeway.engine.analyses.patch_sweep.sweep_summary import lines, summarise
from causeway.engine.stats.paired import METHOD

GROUPS = ("safe", "risky")


@pytest.fixture(scope="module")
def trials():
    """Sampled trials of three features: the second stops more when patched, the third never answers."""
    rng, rows = np.random.default_rng(0), []
    for prompt in range(16):
        for trial in range(10):
            common = {"prompt_id": prompt, "group": GROUPS[prompt % 2], "trial": trial}
            cells = [(-1, -1, "baseline", 0.4)]
            for feature in range(3):
                risky = (0.4, 0.95, -1)[feature]
                cells += [(3, feature, "patch:safe", 0.4), (3, feature, "patch:risky", risky)]
            for layer, feature, arm, rate in cells:
                action = "invalid" if rate < 0 else "stop" if rng.random() < rate else "bet"
                amount = 10.0 if action == "bet" else None
                rows.append(
                    common | {"layer": layer, "feature": feature, "arm": arm, "action": action, "amount": amount}
                )
    return pyarrow.dataset.dataset(pa.Table.from_pylist(rows))


@pytest.fixture(scope="module")
def summary(trials):
    return summarise(trials, effects(trials, EffectSettings(values=GROUPS)), strongest=2)


def test_effects_that_have_the_dictionarys_error_in_them_come_with_a_warning(trials, summary):
    assert summary["warnings"] == []
    published = summarise(trials, effects(trials, EffectSettings(values=GROUPS, noop_is_baseline=False)))
    (warning,) = published["warnings"]
    assert warning.startswith("patch:risky - baseline, patch:safe - baseline: what the feature does and what the ")
    assert f"warning: {warning}" in lines(published)


def test_means_by_arm_show_a_rise_of_invalid_answers(summary):
    invalid = summary["mean_by_arm"]["p_invalid"]
    assert invalid["baseline"] == 0
    np.testing.assert_allclose(invalid["patch:risky"], 1 / 3)


def test_a_feature_is_listed_once_the_causal_and_strongest_first(summary):
    for outcome in summary["outcomes"].values():
        listed = [(row["layer"], row["feature"]) for row in outcome["strongest"]]
        assert len(set(listed)) == len(listed) <= 2
        order = [(bool(row["is_causal"]), abs(row["effect"] or 0)) for row in outcome["strongest"]]
        assert order == sorted(order, reverse=True)
    assert summary["outcomes"]["p_stop"]["strongest"][0]["feature"] == 1
    assert summary["outcomes"]["p_invalid"]["strongest"][0]["feature"] == 2


def test_it_counts_prompts_features_and_tests(summary):
    assert summary["prompts"] == {"risky": 8, "safe": 8}
    assert summary["features"] == 3
    assert summary["outcomes"]["p_stop"]["tests"] == 3 * 3


def test_it_is_json_as_the_standard_has_it(summary):
    assert "NaN" not in json.dumps(summary)
    assert json.loads(json.dumps(summary)) == summary


def test_the_original_rule_stands_beside_ours_where_it_can(trials, tmp_path):
    counts = write_original_rule(tmp_path, trials)
    decisions = pq.read_table(tmp_path / "original_rule.parquet")
    assert counts == {name: sum(decisions[f"original_is_causal_{name}"].to_pylist()) for name in ("safe", "risky")}
    table = trials.to_table().drop_columns(["action", "amount"])
    exact = pyarrow.dataset.dataset(table.append_column("p_stop", pa.array(np.full(table.num_rows, 0.5))))
    assert "sampled outcome" in write_original_rule(tmp_path, exact)["not_evaluated"]


def test_lines_for_a_terminal(summary):
    text = lines(summary, shown=1)
    assert text[0].startswith("3 features, prompts: 8 risky, 8 safe")
    assert text[1] == f"95% intervals: {METHOD}"
    assert sum(line.startswith("  layer") for line in text) == len([line for line in text if line.startswith("p_")]) + 1
    hollow = {"low": None, "high": None, "q": None, "is_causal": None}
    row = summary["outcomes"]["p_stop"]["strongest"][0] | hollow
    outcomes = {"p_stop": summary["outcomes"]["p_stop"] | {"strongest": [row]}}
    assert "no interval  q -  cannot tell" in lines(summary | {"outcomes": outcomes})[-1]


def test_without_random_features_it_is_said_that_nothing_can_be_told(summary):
    assert summary["outcomes"]["p_stop"]["causal_features"] == 0
    (line,) = (line for line in lines(summary) if line.startswith("p_stop"))
    missing = "10 other prompts to estimate, 6 of them moved and random features (19 or more: raise random_draws"
    assert f"4 tests cannot tell, for want of {missing}" in line


def test_answers_that_hold_next_to_nothing_are_said_to(trials):
    def page(share):
        table = trials.to_table().drop_columns(["action", "amount"])
        p = np.random.default_rng(0).uniform(0.5, 1, table.num_rows) * share
        table = table.append_column("p_stop", pa.array(p / 2)).append_column("p_bet", pa.array(p / 2))
        exact = pyarrow.dataset.dataset(table.append_column("p_other", pa.array(1 - p)))
        return lines(summarise(exact, effects(exact, EffectSettings(values=GROUPS))))

    assert page(0.01)[1] == "the answers hold 0.0077 of the probability; read log_odds, or give other answers"
    assert not any("the answers hold" in line for line in page(0.5))
