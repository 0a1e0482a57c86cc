"""Tables of contexts: read some features at a time, and checked once."""

import pyarrow as pa
import pytest

from causeway.engine.sweep.checksums import recorded
from causeway.engine.sweep.durable import write_bytes
from causeway.engine.sweep.table import encode
from causeway.ports.results import context_files
from causeway.ports.results.context_files import CONTEXTS_FILE, open_table, read_table


@pytest.fixture
def folder(tmp_path):
    table = pa.table({"layer": [0, 0, 1], "feature": [2, 3, 2], "value": [0.5, 1.0, 2.0]})
    with recorded(tmp_path, [CONTEXTS_FILE]):
        write_bytes(tmp_path / CONTEXTS_FILE, encode(table))
    return tmp_path


def test_some_features_are_read_after_others_of_a_file_that_is_checked_once(folder, monkeypatch):
    check, checked = context_files.check, []
    monkeypatch.setattr(context_files, "check", lambda path: checked.append(path) or check(path))
    table = open_table(folder, CONTEXTS_FILE)
    assert [table([key])["value"].to_pylist() for key in ((0, 3), (1, 2), (4, 4))] == [[1.0], [2.0], []]
    assert table([]).num_rows == 0
    assert checked == [folder / CONTEXTS_FILE]
    assert read_table(folder, CONTEXTS_FILE).num_rows == 3


def test_a_damaged_table_is_refused(folder):
    (folder / CONTEXTS_FILE).write_bytes((folder / CONTEXTS_FILE).read_bytes()[:-1])
    with pytest.raises(ValueError, match="not the file that was written here"):
        open_table(folder, CONTEXTS_FILE)
