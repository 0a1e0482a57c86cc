"""Tables of a replay on disk, in a folder that is of one run."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.engine.analyses.replay.run import FREE, Replayed
from causeway.ports.results.replay_files import FILES, LOGITS, SUMMARY, check_workdir, write_replay

TABLE = pa.table({"layer": [1], "delta": [0.5]})


def found(logits=TABLE, fingerprint="ab" * 32):
    return Replayed(TABLE, TABLE, TABLE, logits, {"fingerprint": fingerprint, "prompts": {"gewürfelt": 3}})


def test_what_is_written_is_what_was_found(tmp_path):
    write_replay(tmp_path, found())
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    assert all(pq.read_table(tmp_path / name).equals(TABLE) for name in FILES if name != SUMMARY)
    assert json.loads((tmp_path / SUMMARY).read_text(encoding="utf-8")) == found().summary


def test_without_logits_those_of_an_earlier_reading_are_gone(tmp_path):
    write_replay(tmp_path, found())
    write_replay(tmp_path, found(logits=None))
    assert not (tmp_path / LOGITS).exists()


def test_a_folder_is_of_one_run(tmp_path):
    check_workdir(tmp_path, "cd" * 32, sweep=True)
    write_replay(tmp_path, found())
    for sweep in (True, False):
        check_workdir(tmp_path, "ab" * 32, sweep=sweep)
        with pytest.raises(ValueError, match=r"of other rollouts \(fingerprint abababababab\.\.\., of these cdcdcd"):
            check_workdir(tmp_path, "cd" * 32, sweep=sweep)
    (tmp_path / SUMMARY).write_text("{")
    with pytest.raises(ValueError, match=r"replay\.json: not JSON"):
        check_workdir(tmp_path, "ab" * 32, sweep=True)


def test_a_sweep_is_not_read_into_the_folder_of_other_rollouts(tmp_path):
    (tmp_path / FREE).mkdir()
    check_workdir(tmp_path, "ab" * 32, sweep=False)
    with pytest.raises(ValueError, match="has rollouts of its own"):
        check_workdir(tmp_path, "ab" * 32, sweep=True)
