"""Records become prompts of two groups, or one line says why not."""

import pytest

from causeway.engine.analyses.screen.activations import stratum_of
from causeway.engine.analyses.screen.compared import compared, two_labels
from causeway.engine.prompt_lines import parse_record, record_line
from causeway.engine.tokenized_prompt import TokenizedPrompt

GROUPS = ("safe", "risky")


def choose(lines, groups=GROUPS, label_field="group", **settings):
    records = [parse_record(line, label_field) for line in lines]
    return compared([TokenizedPrompt(record, record.tokens) for record in records], groups, **settings)


def record(tokens, group, **fields):
    return {"tokens": tokens, "group": group, **fields}


def test_two_labels_are_chosen_and_echoed():
    got = choose([record([1, 2], "safe", note="kept"), record([3], "other"), record([4, 5], "risky")])
    assert [(p.tokens, p.record.group) for p in got.prompts] == [((1, 2), "safe"), ((4, 5), "risky")]
    lines = [record_line(p.record) for p in got.prompts]
    assert lines[0] == {"tokens": [1, 2], "group": "safe", "note": "kept", "token_ids": [1, 2]}
    assert (got.left_out, got.repeated) == ({"other": 1}, 0)
    assert choose(lines).prompts == got.prompts


def test_any_field_is_a_label_and_strata_lie_at_the_top_or_in_an_object():
    lines = [
        {"tokens": [1], "won": True, "round": 2, "balance": "0-39"},
        {"tokens": [2], "won": False, "strata": {"round": 2, "balance": "40-79"}},
    ]
    strata = ("round", "balance")
    got = choose(lines, ("True", "False"), "won", strata=strata)
    assert [stratum_of(p.record, strata) for p in got.prompts] == ["round 2, balance 0-39", "round 2, balance 40-79"]
    assert [p.record.group for p in got.prompts] == ["True", "False"]


def test_repeats_count_once_unless_kept():
    lines = [record([1], "safe"), record([1], "risky"), record([1], "safe"), record([2, 3], "risky")]
    got = choose(lines)
    assert ([p.tokens for p in got.prompts], got.repeated) == ([(1,), (1,), (2, 3)], 1)
    assert len(choose(lines, keep_repeats=True).prompts) == 4


@pytest.mark.parametrize(
    ("second", "strata", "message"),
    [
        (record([1], "rsky"), (), "'risky' labels no prompt; there are rsky \\(1\\), safe \\(1\\)"),
        (record([1], "risky", round=1), ("round",), "has no field 'round' to stratify by; it has behaviour"),
    ],
)
def test_bad_records_are_refused_in_one_line(second, strata, message):
    with pytest.raises(ValueError, match=message) as caught:
        choose([record([1], "safe"), second], strata=strata)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["girl", "boy", "girl"], ("girl", "boy")), (["risky", "safe", "other"], ("safe", "risky")),
        (["safe", "safe"], ("safe", "risky")), ([], ("safe", "risky")),
    ],
)  # fmt: skip
def test_groups_that_nobody_named(labels, expected):
    assert two_labels([parse_record(record([1], label)) for label in labels]) == expected


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"]])
def test_more_or_fewer_than_two_labels_have_to_be_named(labels):
    with pytest.raises(ValueError, match=f"there are {len(labels)} labels"):
        two_labels([parse_record(record([1], label)) for label in labels])
