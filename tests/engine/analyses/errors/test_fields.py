"""Error rates by the prompts' fields: what they are, where errors were planted, and what is passed over."""

import numpy as np
import pytest

from causeway.engine.analyses.errors.fields import error_rates
from causeway.engine.analyses.errors.labels import Labels
from causeway.engine.prompt_record import PromptRecord


def given(per_group=1):
    """Carries are mostly wrong; a is a number of many values; the rest says nothing."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(120):
        carry = bool(i // per_group % 3 == 0)
        fields = {
            "correct": bool(rng.random() > (0.8 if carry else 0.1)), "carry": carry, "a": int(i), "margin": 0.5,
            "template": "vxyz"[i % 4], "text": f"word {i}", "list": [1],
        }  # fmt: skip
        group = i // per_group
        records.append(PromptRecord(f"p{i}", split=("train", "test")[group % 2], group=f"g{group}", fields=fields))
    return Labels().of(records)


def test_rates_are_counts_of_the_prompts_that_have_a_value():
    own = given()
    for row in error_rates(own, (), 0).to_pylist():
        if row["field"] == "carry":
            wrong = [not r.fields["correct"] for r in own.records if str(r.fields["carry"]) == row["value"]]
            others = [not r.fields["correct"] for r in own.records if str(r.fields["carry"]) != row["value"]]
            assert (row["wrong"], row["prompts"], row["groups"]) == (sum(wrong), len(wrong), len(wrong))
            assert row["error_rate"] == np.mean(wrong)
            assert row["others"] == np.mean(others)
            assert row["low"] < row["error_rate"] < row["high"]


@pytest.mark.parametrize("per_group", [1, 2])
def test_planted_errors_are_found_and_nothing_else(per_group):
    rows = error_rates(given(per_group), (), 0).to_pylist()
    assert {row["field"] for row in rows if row["q"] < 0.05} == {"carry"}
    assert next(row for row in rows if row["field"] == "carry")["value"] == "True"


def test_numbers_of_many_values_are_cut_at_quartiles_and_texts_of_many_passed_over():
    rows = error_rates(given(), (), 0).to_pylist()
    assert {row["field"] for row in rows} == {"split", "carry", "a", "template"}
    quartiles = [row for row in rows if row["field"] == "a"]
    assert sorted(row["value"] for row in quartiles)[0] == "0 to below 29.75"
    assert [row["prompts"] for row in quartiles] == [30] * 4


def test_fields_that_are_asked_for_are_told_whatever_they_are_and_others_refused():
    rows = error_rates(given(2), ("group", "text"), 0).to_pylist()
    assert [sum(row["field"] == name for row in rows) for name in ("group", "text")] == [60, 120]
    with pytest.raises(ValueError, match="by: no prompt has a field 'colour'; there are a, "):
        error_rates(given(), ("colour",), 0)
    assert error_rates(given(), ("list",), 0).num_rows == 0
