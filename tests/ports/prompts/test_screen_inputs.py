"""Labelled records become prompts of two groups, or one line that says why not."""

import pytest

from causeway.ports.models.load import load_model
from causeway.ports.prompts.screen_inputs import label_prompts, two_labels

GROUPS = ("safe", "risky")


@pytest.fixture
def model(model_dir):
    return load_model(model_dir)


def record(tokens, group, **fields):
    return {"tokens": tokens, "group": group, **fields}


def test_two_labels_are_chosen_and_echoed(model):
    records = [record([1, 2], "safe", note="kept"), record([3], "other"), record([4, 5], "risky")]
    got = label_prompts(records, model, GROUPS)
    assert [(p.tokens, p.group, p.stratum) for p in got.prompts] == [((1, 2), "safe", ""), ((4, 5), "risky", "")]
    assert got.records[0] == {"tokens": [1, 2], "group": "safe", "note": "kept", "token_ids": [1, 2]}
    assert (got.left_out, got.repeated) == ({"other": 1}, 0)
    assert label_prompts(got.records, model, GROUPS).prompts == got.prompts


def test_any_field_is_a_label_and_strata_lie_at_the_top_or_in_an_object(model):
    records = [
        {"tokens": [1], "won": True, "round": 2, "balance": "0-39"},
        {"tokens": [2], "won": False, "strata": {"round": 2, "balance": "40-79"}},
    ]
    got = label_prompts(records, model, ("True", "False"), label_field="won", strata=("round", "balance"))
    assert [p.stratum for p in got.prompts] == ["round 2, balance 0-39", "round 2, balance 40-79"]
    assert [r["group"] for r in got.records] == ["True", "False"]


def test_repeats_count_once_unless_kept(model):
    records = [record([1], "safe"), record([1], "risky"), record([1], "safe"), record([2], "risky")]
    got = label_prompts(records, model, GROUPS)
    assert (len(got.prompts), got.repeated) == (3, 1)
    assert len(label_prompts(records, model, GROUPS, keep_repeats=True).prompts) == 4


@pytest.mark.parametrize(
    ("second", "strata", "message"),
    [
        (record([1], "rsky"), (), "'risky' labels no prompt of file; 'group' has rsky \\(1\\), safe \\(1\\)"),
        ({"group": "risky"}, (), "file record 2: has neither a text .* nor tokens"),
        (record([], "risky"), (), "file record 2: field tokens is \\[\\]; needs a list"),
        (record([1] * 33, "risky"), (), "file record 2: .*33 tokens, but the context"),
        (record([99], "risky"), (), "file record 2: .*99 is outside the vocabulary"),
        (record(["a"], "risky"), (), "file record 2: "),
        ({"text": "hello", "group": "risky"}, (), "file record 2: .*has no tokenizer"),
        (record([1], "risky", round=1), ("round",), "file record 1: has no field 'round' to stratify by"),
    ],
)
def test_bad_records_are_refused_in_one_line(model, second, strata, message):
    with pytest.raises(ValueError, match=message) as caught:
        label_prompts([record([1], "safe"), second], model, GROUPS, strata=strata, where="file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["girl", "boy", "girl"], ("girl", "boy")), (["risky", "safe", "other"], ("safe", "risky")),
        (["safe", "safe"], ("safe", "risky")), ([], ("safe", "risky")),
    ],
)  # fmt: skip
def test_groups_that_nobody_named(labels, expected):
    assert two_labels([{"group": label} for label in labels], "group", "prompts") == expected


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"]])
def test_more_or_fewer_than_two_labels_have_to_be_named(labels):
    with pytest.raises(ValueError, match=f"has {len(labels)} labels in 'group'"):
        two_labels([{"group": label} for label in labels], "group", "prompts")
