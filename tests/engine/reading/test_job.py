"""A reading in units: the same parts as at once, after an interruption and on any number of devices."""

import numpy as np
import pytest

from causeway.engine.devices import local_parallel
from causeway.engine.reading import job as readings
from causeway.engine.reading.job import Kept, ReadJob, read_kept
from causeway.engine.reading.passes import ReadRow
from causeway.engine.reading.read import read
from causeway.engine.reading.reductions import AnswerLogProbabilities, TopK
from causeway.engine.sweep.interrupt import Stopped
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

CASES = {
    "features": (("resid_post",), TopK(3), {"batch_rows": 2, "slots": lambda count, width: 3}),
    "answers": (("final_norm",), AnswerLogProbabilities(), {"batch_rows": 2, "layers": (3,)}),
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 40, n).tolist() for n in (5, 9, 6, 12, 7, 8, 10, 4, 9)]
    return [ReadRow(ids, range(len(ids) - 3, len(ids)), ids[-3:]) for ids in drawn]


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    monkeypatch.setattr(readings, "UNIT_PASSES", 1)


def everything(parts, totals):
    found = {}
    for part in parts:
        for name, array in part.values.items():
            if name in totals:
                found[part.layer, name] = found.get((part.layer, name), 0) + array.astype(np.float64).sum(axis=0)
                continue
            for row, values, there in zip(part.rows, array, part.there, strict=True):
                found[part.layer, name, int(row)] = values, there
    return found


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key, values in a.items():
        np.testing.assert_equal(values, b[key])


@pytest.mark.parametrize("name", CASES)
def test_parts_are_those_of_a_reading_at_once_interrupted_or_not(
    transformer, dictionary, rows, contents, tmp_path, name
):
    streams, reduce, options = CASES[name]
    holder = dictionary if name == "features" else None
    plain = everything(read(transformer, rows, streams, holder, reduce, **options), reduce.totals)
    whole, parts = (Kept(tmp_path / folder, "weights") for folder in ("whole", "parts"))
    assert_same(
        everything(read_kept(whole, transformer, rows, streams, holder, reduce, **options), reduce.totals), plain
    )
    job = ReadJob("weights", transformer, rows, streams, holder, reduce, options)
    assert run_sweep(Store(parts.workdir, job.plan), job.unit, limit=2).stopped == "limit"
    two = options | {"parallel": local_parallel(2)}
    assert_same(everything(read_kept(parts, transformer, rows, streams, holder, reduce, **two), reduce.totals), plain)
    assert contents(Store(whole.workdir, job.plan)) == contents(Store(parts.workdir, job.plan))


def test_a_stopped_reading_says_where_it_is_and_another_is_refused(transformer, rows, tmp_path, monkeypatch, refuses):
    streams, reduce, options = CASES["answers"]
    kept = Kept(tmp_path, "weights")
    run = readings.job.run
    monkeypatch.setattr(
        readings.job, "run", lambda job, workdir: run_sweep(Store(workdir, job.plan), job.unit, limit=1)
    )
    with pytest.raises(Stopped, match="limit: 1 of 5 units"):
        list(read_kept(kept, transformer, rows, streams, None, reduce, **options))
    monkeypatch.setattr(readings.job, "run", run)
    with refuses("batch_rows: 2 in the workdir, 4 now"):
        list(read_kept(kept, transformer, rows, streams, None, reduce, **options | {"batch_rows": 4}))
