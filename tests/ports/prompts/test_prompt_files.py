"""Files of prompts: what is written is read, sets are told apart, and malformed lines are named by file and line."""

import json

import pytest

from causeway.engine.analyses.prompts.deal import Sizes
from causeway.engine.analyses.prompts.make import make_prompts
from causeway.engine.prompt_record import check_group, check_pair
from causeway.ports.prompts.prompt_files import by_set, prompt_files, read_prompts, write_prompts

GOOD = json.dumps({"prompt": "The cat", "correct_answer": " is", "incorrect_answer": " are", "subject": "cat"})


@pytest.mark.parametrize("name", ["factual_recall", "synthetic_logic", "agreement_attractors"])
def test_what_is_written_is_read(tmp_path, name):
    prompts = make_prompts(name, Sizes(10, 5), 42)["train"]
    write_prompts(tmp_path / "p.jsonl", prompts)
    assert read_prompts([tmp_path / "p.jsonl"], check_pair)[0] == prompts
    first = json.loads((tmp_path / "p.jsonl").read_text().split("\n")[0])
    assert {"prompt", "correct_answer", "incorrect_answer", "behaviour", "split", "id", "group"} <= set(first)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{not json", "line 2: not JSON"),
        (b"[1]", "line 2: got a JSON list; needs an object"),
        (b'{"prompt": "a"}', "line 2: answers: got none; needs correct_answer"),
        (GOOD.replace("The cat", "The caté").encode("latin-1"), "line 2: byte 19 (0xe9) is not UTF-8"),
        (GOOD.replace('"subject": "cat"', '"behaviour": "../x"').encode(), "line 2: field behaviour: got '../x'"),
        (GOOD.replace("The cat", r"The \ud800").encode(), "line 2: not JSON ('utf-8' codec can't encode"),
    ],
)
def test_malformed_lines_of_a_folder_are_named_or_skipped(tmp_path, line, message):
    path = tmp_path / "p_train.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + line + b"\n\n" + GOOD.encode() + b"\n")
    with pytest.raises(ValueError) as caught:
        read_prompts([tmp_path], check_pair)
    assert f"p_train.jsonl {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
    found, bad = read_prompts([tmp_path], check_pair, skip_bad=True)
    assert [(p.fields, p.where) for p in found] == [({"subject": "cat"}, f"{path} line {n}") for n in (1, 4)]
    assert len(bad) == 1


def test_no_file_and_no_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_prompts([tmp_path / "absent.jsonl"])
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="holds no usable line"):
        read_prompts([tmp_path / "empty.jsonl"])


def test_the_files_of_a_folder(tmp_path):
    for name in ("a_train", "a_test", "b_train"):
        (tmp_path / f"{name}.jsonl").write_text(GOOD)
    assert [p.stem for p in prompt_files([str(tmp_path)])] == ["a_test", "a_train", "b_train"]
    assert [p.stem for p in prompt_files([str(tmp_path)], ["a"], ["train"])] == ["a_train"]
    assert len(prompt_files([str(tmp_path), str(tmp_path / "a_train.jsonl")])) == 3
    with pytest.raises(FileNotFoundError, match="a folder without c_"):
        prompt_files([str(tmp_path)], ["c"])


def test_prompts_of_several_sets(tmp_path):
    lines = [{"prompt": "a"}, {"tokens": [1, 2], "split": "train"}, {"text": "b", "behaviour": "x", "id": "mine"},
             {"prompt": "c", "behaviour": None, "split": None, "id": None}]  # fmt: skip
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    records, bad = read_prompts([path, path])
    assert not bad
    assert {key: [(p.id, p.content) for p in prompts] for key, prompts in by_set(records).items()} == {
        ("file", "all"): [("file-1", "a"), ("file-4", "c")], ("file", "train"): [("file-2", [1, 2])],
        ("x", "all"): [("mine", "b")],
    }  # fmt: skip
    assert [p.id for p in read_prompts([path], behaviours=["x"])[0]] == ["mine"]
    with pytest.raises(ValueError, match="none of that in --prompts, which has file all, file train, x all"):
        read_prompts([path], splits=["test"])
    with pytest.raises(ValueError, match=r"file\.jsonl line 1: has no label"):
        read_prompts([path], check_group)
