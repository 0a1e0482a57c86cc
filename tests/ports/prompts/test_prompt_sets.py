"""Prompts of several files by behaviour and split, with answers and without."""

import json

import pytest

from causeway.engine.analyses.prompts.own_prompts import prompt_of
from causeway.ports.files.record_fields import content_of, label_of, text_of
from causeway.ports.prompts.prompt_sets import feature_prompt, read_sets


def test_prompts_of_several_sets(tmp_path):
    lines = [{"prompt": "a"}, {"tokens": [1, 2], "split": "train"}, {"prompt": "b", "behaviour": "x", "id": "mine"},
             {"prompt": "c", "behaviour": None, "split": None, "id": None}]  # fmt: skip
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sets, bad = read_sets([str(path), str(path)], feature_prompt)
    assert not bad
    assert {key: [(p.id, p.content) for p in prompts] for key, prompts in sets.items()} == {
        ("file", "all"): [("file:1", "a"), ("file:4", "c")], ("file", "train"): [("file:2", [1, 2])],
        ("x", "all"): [("mine", "b")],
    }  # fmt: skip
    assert list(read_sets([str(path)], feature_prompt, behaviours=["x"])[0]) == [("x", "all")]
    with pytest.raises(ValueError, match="none of that in --prompts, which has file all, file train, x all"):
        read_sets([str(path)], feature_prompt, splits=["test"])
    with pytest.raises(ValueError, match="line 1: has no field correct_answer"):
        read_sets([str(path)], prompt_of)


def test_a_text_goes_by_either_name(tmp_path):
    """One file serves the commands that call it `prompt` and those that call it `text`."""
    path = tmp_path / "file.jsonl"
    path.write_text('{"text": "a", "correct_answer": " b", "incorrect_answer": " c", "group": "g"}\n')
    (prompt,) = read_sets([str(path)], prompt_of)[0]["file", "all"]
    assert (prompt.prompt, prompt.fields) == ("a", {})
    assert read_sets([str(path)], feature_prompt)[0]["file", "all"][0].content == "a"
    assert content_of({"prompt": "a"}) == content_of({"text": "a", "prompt": "b"}) == text_of({"prompt": "a"}) == "a"
    assert content_of({"prompt": "b", "text": "a"}, ("prompt", "text")) == "b"


@pytest.mark.parametrize("label", [None, "", [], {}, ["a"]])
def test_labels_are_texts_or_numbers(label):
    assert label_of({"group": 2}, "group", "line") == "2"
    with pytest.raises(ValueError, match=r"^line: field group is .*; needs a label, a text or a number"):
        label_of({"group": label}, "group", "line")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"prompt": ""}, "line 2: has neither a text"),
        ({"prompt": "a", "behaviour": "../x"}, "line 2: field behaviour: got '../x'"),
        ({"prompt": "a", "behaviour": ["x"]}, "line 2: field behaviour: got"),
        ({"prompt": "a", "id": {"x": 1}}, "line 2: field id: got"),
        ({"prompt": "a", "tokens": [1.5]}, r"line 2: field tokens is \[1.5\]"),
    ],
)
def test_malformed_lines_are_named_or_skipped(tmp_path, line, message):
    path = tmp_path / "file.jsonl"
    path.write_text('{"prompt": "good"}\n' + json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=message):
        read_sets([str(path)], feature_prompt)
    assert len(read_sets([str(path)], feature_prompt, skip_bad=True)[1]) == 1
