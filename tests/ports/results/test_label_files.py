"""Labels of features: each kind of file gives back what was written, and what is wrong is told by row."""

import pytest

from causeway.ports.results.label_files import SUFFIXES, read_labels, write_labels

ROWS = [
    {"layer": 3, "feature": 17, "label": 'loss, "game"', "source": "me"},
    {"layer": 0, "feature": 2, "label": "עברית 語\n<b>", "source": "me"},
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read(tmp_path, suffix):
    path = tmp_path / f"labels{suffix}"
    write_labels(path, [*ROWS, {"layer": 1, "feature": 1, "label": ""}])
    assert read_labels(path) == {(3, 17): 'loss, "game"', (0, 2): "עברית 語\n<b>"}


WRONG = {
    "no label": ('{"layer": 1, "feature": 2}\n', "row 1 has no label"),
    "no number": ('{"layer": "x", "feature": 2, "label": "a"}\n', "row 1: layer: got 'x'"),
    "below 0": ('{"layer": 1, "feature": -2, "label": "a"}\n', "row 1: feature: got -2"),
    "no text": ('{"layer": 1, "feature": 2, "label": 3}\n', "row 1: label: got 3"),
    "two labels": (
        '{"layer": 1, "feature": 2, "label": "a"}\n{"layer": 1, "feature": 2, "label": "b"}\n',
        "row 2: feature 1:2 has another label above",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(tmp_path, name):
    text, told = WRONG[name]
    path = tmp_path / "labels.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=told) as error:
        read_labels(path)
    assert "\n" not in str(error.value)


WRONG_CSV = {
    "a field without end": ("1,2,a\n1,3," + "x" * 200_000 + "\n", "row 2 is not CSV (field larger"),
    "an open quote": ('1,2,a\n1,3,"b\n1,4,c\n', "row 2 is not CSV (unexpected end"),
    "a number without end": (f"1,{'9' * 5000},a\n", "row 1: feature: got '999"),
}


@pytest.mark.parametrize("name", WRONG_CSV)
def test_a_wrong_csv_is_told_in_a_line(tmp_path, name):
    text, told = WRONG_CSV[name]
    path = tmp_path / "labels.csv"
    path.write_text("layer,feature,label\n" + text)
    with pytest.raises(ValueError) as error:
        read_labels(path)
    assert str(error.value).startswith(f"{path}: {told}")
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.parquet"):
        read_labels(tmp_path / "labels.txt")
    with pytest.raises(FileNotFoundError):
        read_labels(tmp_path / "labels.csv")
