"""Names of a baseline's files: none for two behaviours."""

import pytest

from causeway.ports.results.baseline_files import names


def test_every_file_of_a_set_has_a_name():
    assert set(names([("a", "train")])) == {
        "baseline_a_train.csv", "baseline_groups_a_train.csv", "baseline_prompts_a_train.jsonl",
        "baseline_metrics_train.json",
        "figures/baseline_a_train.png", "figures/baseline_rates_train.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    "sets", [[("a_b", "c"), ("a", "b_c")], [("groups_a", "x"), ("a", "x")], [("rates", "x")]], ids=str
)
def test_sets_that_would_share_a_file_are_refused(sets):
    with pytest.raises(ValueError, match=r"would both be written to .*; rename one of them"):
        names(sets)
