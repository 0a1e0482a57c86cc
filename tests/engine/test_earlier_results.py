"""Each trial is kept once, the first; names go both ways; features of two sources have one form."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine import earlier_features
from causeway.engine.analyses.patch_sweep.effects import EffectSettings, effects
from causeway.engine.earlier_results import (
    FEATURES,
    REPEATED,
    RESPONSES,
    each_trial_once,
    feature_name,
    parse_feature_name,
)

KEYS = ("layer", "feature", "context", "arm", "prompt", "trial")


def responses(rows, chunks=1):
    """`RESPONSES` of (layer, feature, context, arm, prompt, trial, response), chunks with dictionaries of their own."""
    columns = {name: [None] * len(rows) for name in RESPONSES.names}
    for at, name in enumerate((*KEYS, "response")):
        columns[name] = [row[at] for row in rows]
    columns["source"] = [f"file {i * chunks // max(len(rows), 1)}" for i in range(len(rows))]
    edges = np.linspace(0, len(rows), chunks + 1).astype(int)
    parts = [
        pa.table({
            f.name: pa.array(columns[f.name][a:b], pa.string()).dictionary_encode() if pa.types.is_dictionary(f.type)
            else pa.array(columns[f.name][a:b], f.type) for f in RESPONSES
        }, RESPONSES)
        for a, b in itertools.pairwise(edges)
    ]  # fmt: skip
    return pa.concat_tables(parts)


ROW = st.tuples(
    st.integers(-1, 1), st.integers(-1, 2), st.sampled_from(["safe", "risky"]), st.sampled_from(["baseline", "patch"]),
    st.sampled_from(["p", "q"]), st.integers(0, 2), st.sampled_from(["x", "y", None]),
)  # fmt: skip


@given(rows=st.lists(ROW, max_size=40), chunks=st.integers(1, 3))
def test_the_first_of_each_trial_is_kept_in_order_and_the_others_are_listed(rows, chunks):
    kept, left_out = each_trial_once(responses(rows, chunks))
    first, again = {}, []
    for row in rows:
        if row[:6] in first:
            again.append((*row[:6], row[6] is not None and row[6] == first[row[:6]]))
        else:
            first[row[:6]] = row[6]
    found = zip(*(kept[name].to_pylist() for name in (*KEYS, "response")), strict=True)
    assert list(found) == [(*key, response) for key, response in first.items()]
    assert list(zip(*(left_out[name].to_pylist() for name in (*KEYS, "same")), strict=True)) == again
    assert kept.schema.equals(RESPONSES)
    assert left_out.schema.equals(REPEATED)


def test_names_go_both_ways():
    for pair in ((0, 0), (29, 2374), (31, 32767)):
        assert parse_feature_name(feature_name(*pair)) == pair


@pytest.mark.parametrize("name", ["29-2374", "L29_2374", "L-1-5", "L29-", "", None, 29, "L1-1 ", "L9999999999-1"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="needs a name such as L29-2374"):
        parse_feature_name(name)


def test_decided_features_are_sorted_each_once_and_told_when_they_differ():
    row = {"layer": 5, "feature": 2, "cohen_d": 1.0, "is_causal": True, "source": "a"}
    table, conflicting = earlier_features.of_decisions([row, {**row, "layer": 3}, {**row, "source": "b"}])
    assert table.schema.equals(FEATURES)
    assert (table["layer"].to_pylist(), conflicting) == ([3, 5], ())
    assert earlier_features.of_decisions([row, {**row, "cohen_d": 2.0}])[1] == ("L5-2",)


@pytest.mark.parametrize(("rule", "bet"), [("v1", "bet above 15"), ("v2", "bet above 19")])
def test_what_was_counted_is_told_by_the_version_of_the_rule_that_decided(rule, bet):
    rows = [
        {"layer": 0, "feature": 0, "effect_safe": 0.1, "effect_risky": -0.4, "source": "x"},
        {"layer": 0, "feature": 1, "effect_safe": 0.5, "effect_risky": -0.4, "source": "x"},
    ]
    table = earlier_features.of_decisions(rows, rule)[0]
    assert table["outcome"].to_pylist() == [bet, "stop"]


def test_twice_the_smaller_p_of_two_null_tests_is_below_alpha_as_often_as_it_should():
    rng = np.random.default_rng(0)
    rows = [
        {"layer": 0, "feature": i, "effect_safe": a, "effect_risky": b, "p_safe": p, "p_risky": q, "source": "x"}
        for i, (a, b, p, q) in enumerate(_null_tests(rng, 4000))
    ]
    p = earlier_features.of_decisions(rows)[0]["p"].to_numpy()
    assert np.mean(p < 0.05) == pytest.approx(0.0494, abs=0.01)


def _null_tests(rng, count):
    """Effects of two null tests and p values that fall as they grow."""
    from scipy import stats

    z = rng.normal(size=(count, 2))
    return np.concatenate([z, 2 * stats.norm.sf(np.abs(z))], axis=1).tolist()


@pytest.fixture(scope="module")
def table():
    """Effects of a sweep of exact probabilities, 24 prompts of two groups; feature 1 does something."""
    rng, rows = np.random.default_rng(0), []
    for prompt in range(24):
        base = rng.uniform(0.3, 0.5)
        for feature, arm, shift in ((-1, "baseline", 0.0), (0, "patch:a", 0.0), (0, "patch:b", 0.0),
                                    (1, "patch:a", 0.1), (1, "patch:b", -0.2)):  # fmt: skip
            p = base + shift + 0.005 * rng.normal() * (feature >= 0)
            rows.append({
                "prompt_id": prompt, "group": ("x", "y")[prompt % 2], "layer": min(feature, 4), "feature": feature,
                "arm": arm, "trial": 0, "p_stop": p, "p_bet": 0.9 - p, "p_other": 0.1,
                "expected_amount": 50 * (0.9 - p),
            })  # fmt: skip
    return effects(pa.Table.from_pylist(rows), EffectSettings(split=False))


def test_the_largest_effect_on_an_answer_stands_for_a_feature_of_a_sweep(table):
    found = earlier_features.of_effects(table, "effects.parquet")
    assert found.schema.equals(FEATURES)
    assert found["feature"].to_pylist() == [0, 1]
    strong = found.to_pylist()[1]
    # patch:b - patch:a moves both answers by 0.3; amounts move by more, in dollars, and are not compared.
    assert abs(strong["effect"]) == pytest.approx(0.3, abs=0.01)
    assert strong["contrast"] == "patch:b - patch:a"
    assert strong["low"] < strong["effect"] < strong["high"]
    rows = [row for row in table.to_pylist() if row["feature"] == 1 and row["group"] == "all"]
    rows = [row for row in rows if row["outcome"] in ("p_stop", "p_bet") and row["role"] in ("primary", "tested")]
    own = next(row for row in rows if (row["outcome"], row["contrast"]) == (strong["outcome"], strong["contrast"]))
    assert strong["p"] == min(1.0, own["p"] * len(rows))
    assert strong["q"] == own["q"]


def test_a_feature_is_causal_where_any_contrast_is_and_undecided_where_none_is_and_some_cannot_be_told(table):
    rows, at = table.to_pylist(), table.column_names.index("is_causal")
    one = "patch:b - patch:a"
    for here, elsewhere, wanted in (
        (True, None, True),
        (True, False, True),
        (None, False, None),
        (False, False, False),
    ):
        told = [here if row["contrast"] == one else elsewhere for row in rows]
        found = earlier_features.of_effects(table.set_column(at, "is_causal", pa.array(told, pa.bool_())), "x")
        assert found["is_causal"].to_pylist() == [wanted, wanted]
