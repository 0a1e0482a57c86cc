"""Inputs that another command wrote are read only as it wrote them; a person's own files are simply read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.engine.sweep.checksums import CHECKSUMS_FILE, recorded
from causeway.ports.files.jsonl import read_lines, read_texts
from causeway.ports.prompts.prompt_files import read_prompts
from causeway.ports.prompts.sweep_inputs import read_answers, read_feature_table

LINE = json.dumps({"prompt": "a b", "text": "a b", "correct_answer": " c", "incorrect_answer": " d"}) + "\n"
READERS = {
    "texts": ("p.jsonl", LINE, read_texts),
    "plain texts": ("p.txt", "a b\n", read_texts),
    "records": ("p.jsonl", LINE, lambda path: read_lines(path, dict)),
    "prompts": ("p.jsonl", LINE, lambda path: read_prompts([path])),
    "answers": ("p.json", '[{"text": "a b", "label": "x"}]', lambda path: read_answers(str(path))),
    "features": ("p.jsonl", '{"layer": 0, "feature": 1, "value_a b": 1}\n', lambda path: read_feature_table(str(path))),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_an_edited_file_is_read_once_its_line_is_gone(tmp_path, name):
    file, content, read = READERS[name]
    path = tmp_path / file
    with recorded(tmp_path, [file]):
        path.write_text(content)
    read(path)
    path.write_text(content.replace("a b", "a c"))
    with pytest.raises(
        ValueError, match=rf"{file}: not the file that was written here.*edited it, delete its line"
    ) as e:
        read(path)
    assert "\n" not in str(e.value)
    (tmp_path / CHECKSUMS_FILE).write_text("")
    read(path)


def test_a_screening_table_with_a_changed_byte_is_refused(tmp_path):
    path = tmp_path / "screen.parquet"
    with recorded(tmp_path, [path.name]):
        pq.write_table(pa.table({"layer": [0, 1], "feature": [5, 6], "d": [0.5, 0.25]}), path)
    assert read_feature_table(str(path)).num_rows == 2
    data = path.read_bytes()
    for at in range(0, len(data), 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(ValueError, match=r"screen\.parquet: not the file that was written here"):
            read_feature_table(str(path))
