"""Values written as JSON: whole, as they are, with null for what JSON has no number for."""

import json

import numpy as np

from causeway.ports.files.json_text import write_json


def test_what_is_written_reads_as_it_was_with_null_for_no_number(tmp_path):
    write_json(tmp_path / "a.json", {"text": "gewürfelt", "numbers": (1, np.float64(0.5), float("nan"), np.inf)})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"text": "gewürfelt", "numbers": [1, 0.5, None, None]}
    assert "gewürfelt" in text
    assert text.endswith("}\n")


def test_it_stands_in_place_of_what_was_there_and_leaves_nothing_else(tmp_path):
    for value in ([1], [2]):
        write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == [2]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
