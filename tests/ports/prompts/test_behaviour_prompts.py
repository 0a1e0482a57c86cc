"""Files of behaviour prompts: what is written is read, and malformed lines are named."""

import json

import pytest

from causeway.engine.analyses.prompts.deal import Sizes
from causeway.engine.analyses.prompts.make import make_prompts
from causeway.ports.files.jsonl import read_lines
from causeway.ports.prompts.behaviour_prompts import prompt_files, read_prompts, write_prompts

GOOD = json.dumps({"prompt": "The cat", "correct_answer": " is", "incorrect_answer": " are", "subject": "cat"})


@pytest.mark.parametrize("name", ["factual_recall", "synthetic_logic"])
def test_what_is_written_is_read(tmp_path, name):
    prompts = make_prompts(name, Sizes(10, 5), 42)["train"]
    write_prompts(tmp_path / "p.jsonl", prompts)
    assert read_prompts(tmp_path / "p.jsonl") == prompts
    first = json.loads((tmp_path / "p.jsonl").read_text().split("\n")[0])
    assert {"prompt", "correct_answer", "incorrect_answer", "behaviour", "split", "id", "group"} <= set(first)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{not json", "line 2: not JSON"),
        (b"[1]", "line 2: got a JSON list; needs an object"),
        (b'{"prompt": "a"}', "line 2: has no field correct_answer; it has prompt"),
        (GOOD.replace('" is"', "3").encode(), "line 2: field correct_answer: got '3'; needs a text"),
        (GOOD.replace('"The cat"', '""').encode(), "line 2: field prompt: got ''"),
        (GOOD.replace(" is", " are").encode(), "line 2: correct_answer and incorrect_answer: both ' are'"),
        (GOOD.replace("The cat", "The caté").encode("latin-1"), "line 2: byte 19 (0xe9) is not UTF-8"),
        (GOOD.replace('"subject": "cat"', '"behaviour": "../x"').encode(), "line 2: field behaviour: got '../x'"),
        (GOOD.replace('"subject": "cat"', '"group": ["x"]').encode(), "line 2: field group: got"),
        (GOOD.replace("The cat", r"The \ud800").encode(), "line 2: not JSON ('utf-8' codec can't encode"),
    ],
)
def test_malformed_lines_are_named_or_skipped(tmp_path, line, message):
    path = tmp_path / "p.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + line + b"\n\n" + GOOD.encode() + b"\n")
    with pytest.raises(ValueError) as caught:
        read_prompts(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.fields["subject"] for p in read_prompts(path, skip_bad=True)] == ["cat", "cat"]
    read = read_lines(path, dict, skip_bad=True)
    assert read.numbers[-1] == 4


def test_no_file_and_no_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_prompts(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="holds no usable line"):
        read_prompts(tmp_path / "empty.jsonl")


def test_the_files_of_a_folder(tmp_path):
    for name in ("a_train", "a_test", "b_train"):
        (tmp_path / f"{name}.jsonl").write_text(GOOD)
    assert [p.stem for p in prompt_files([str(tmp_path)])] == ["a_test", "a_train", "b_train"]
    assert [p.stem for p in prompt_files([str(tmp_path)], ["a"], ["train"])] == ["a_train"]
    assert len(prompt_files([str(tmp_path), str(tmp_path / "a_train.jsonl")])) == 3
    with pytest.raises(FileNotFoundError, match="a folder without c_"):
        prompt_files([str(tmp_path)], ["c"])
