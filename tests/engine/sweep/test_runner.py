"""The runner: what it computes, in how much memory, and how it ends."""

import errno
import gc
import io
import json
import threading
import time
import weakref

import numpy as np
import pytest

from causeway.engine.sweep.guard import DiskGuard, Usage
from causeway.engine.sweep.progress import Progress
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


def test_resume_computes_only_what_is_missing(toy, tmp_path, finished, contents):
    store, seen = Store(tmp_path / "other", finished.plan), []

    def compute(unit):
        seen.append(unit)
        return toy.make_result(store.plan, unit)

    first = run_sweep(store, compute, limit=2)
    assert (first.computed, first.finished, first.stopped, first.table) == (2, 2, "limit", None)
    assert run_sweep(store, compute, units=[4]).finished == 3
    last = run_sweep(store, compute)
    assert (last.computed, last.finished, last.stopped) == (3, 6, "")
    assert run_sweep(store, compute).computed == 0
    assert seen == [0, 1, 4, 2, 3, 5]
    assert contents(store) == contents(finished)


@pytest.mark.parametrize("workers", [2, 4])
def test_data_do_not_depend_on_the_number_of_devices(toy, tmp_path, finished, contents, workers):
    store = Store(tmp_path / "other", finished.plan)

    def device(index):
        def compute(unit):
            time.sleep(0.01 * (index + 1))
            return toy.make_result(store.plan, unit)

        return compute

    run_sweep(store, [device(index) for index in range(workers)])
    assert contents(store) == contents(finished)


@pytest.mark.parametrize("workers", [1, 3])
def test_at_most_devices_plus_one_units_are_alive(toy, tmp_path, workers):
    plan = toy.make_plan(unit_rows=(4,) * 24)
    store, alive, most, lock = Store(tmp_path, plan), weakref.WeakSet(), [], threading.Lock()

    class Counted(np.ndarray):
        __hash__ = object.__hash__
        __eq__ = object.__eq__

    def compute(unit):
        result = toy.make_result(plan, unit)
        values = result.arrays["values"].view(Counted)
        with lock:
            alive.add(values)
            most.append(len(alive))
        return type(result)(result.rows, {**result.arrays, "values": values})

    run_sweep(store, [compute] * workers)
    assert max(most) <= workers + 1
    gc.collect()
    assert len(alive) == 0


def test_an_error_names_its_unit_and_keeps_what_is_finished(toy, tmp_path):
    plan = toy.make_plan()
    store = Store(tmp_path, plan)

    def compute(unit):
        if unit == 3:
            raise RuntimeError("bad unit")
        return toy.make_result(plan, unit)

    with pytest.raises(RuntimeError, match="bad unit") as error:
        run_sweep(store, [compute, compute])
    assert error.value.__notes__ == ["in unit 3 of toy"]
    assert store.verify() == []
    assert 3 not in store.finished()
    assert store.finished()


def filling(fractions):
    """A disk of 1 MB whose used fraction follows a list, then stays."""
    left = list(fractions)

    def usage(_path):
        used = left.pop(0) if len(left) > 1 else left[0]
        return Usage(10**6, round(used * 10**6), round((1 - used) * 10**6))

    return usage


def test_disk_guard_stops_and_the_sweep_resumes(toy, tmp_path, finished, contents, capsys):
    store = Store(tmp_path / "other", finished.plan)
    guard = DiskGuard(store.workdir, usage=filling([0.5, 0.6, 0.7, 0.85, 0.85, 0.85, 0.96]))
    report = run_sweep(store, lambda unit: toy.make_result(store.plan, unit), guard=guard)
    assert report.stopped == "disk"
    assert 0 < report.computed < 6
    told = capsys.readouterr().err
    assert told.count("the sweep stops at 95%") == 1
    assert "free space and rerun the same command to resume" in told
    assert run_sweep(store, lambda unit: toy.make_result(store.plan, unit)).stopped == ""
    assert contents(store) == contents(finished)


def test_a_sweep_that_does_not_fit_is_refused_up_front(toy, tmp_path):
    store = Store(tmp_path, toy.make_plan())
    guard = DiskGuard(store.workdir, usage=filling([0.5]))
    with pytest.raises(ValueError, match=r"the rest of toy needs 0\.001 GB.*another --workdir"):
        run_sweep(store, None, guard=guard, expected_bytes=10**6)


@pytest.mark.parametrize(
    "full",
    [OSError(errno.ENOSPC, "No space left on device"), ValueError("RESOURCE_EXHAUSTED [os_error_code='28']")],
    ids=["python", "tensorstore"],
)
def test_a_full_disk_is_a_clean_resumable_stop(toy, tmp_path, finished, contents, monkeypatch, full):
    store = Store(tmp_path / "other", finished.plan)
    commit = store.commit

    def failing(unit, *arguments):
        if unit >= 2:
            raise full
        return commit(unit, *arguments)

    monkeypatch.setattr(store, "commit", failing)
    report = run_sweep(store, lambda unit: toy.make_result(store.plan, unit))
    assert (report.stopped, report.finished) == ("disk", 2)
    monkeypatch.undo()
    run_sweep(store, lambda unit: toy.make_result(store.plan, unit))
    assert contents(store) == contents(finished)


def test_a_unit_outside_the_plan_is_refused(toy, tmp_path):
    with pytest.raises(ValueError, match=r"units: got 6, the plan has units 0\.\.5"):
        run_sweep(Store(tmp_path, toy.make_plan()), None, units=[6])


def test_one_line_each_half_minute_of_rate_disk_and_memory(toy, tmp_path):
    plan, now, stream = toy.make_plan(), [0.0], io.StringIO()
    guard = DiskGuard(tmp_path, usage=filling([0.5]))
    progress = Progress(plan, tmp_path, guard, done=[0], stream=stream, clock=lambda: now[0])
    for second in range(75):
        now[0] = float(second)
        if second == 25:
            progress.unit_done(4)
        progress.tick()
    progress.close()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["progress", "progress"]
    assert lines[0]["rows_per_second"] == pytest.approx(4 / 30)
    assert lines[0]["seconds_left"] == pytest.approx((21 - 8) * 7.5)
    assert lines[0]["disk_used"] == 0.5
    assert lines[0]["memory_gb"] > 0
    assert "2/6 units, 8/21 rows, 0.133 rows/s, 0:01:38 left, disk 50%" in stream.getvalue()


def test_a_log_that_cannot_be_written_does_not_stop_a_sweep(toy, tmp_path):
    (tmp_path / "events.jsonl").mkdir()
    store = Store(tmp_path, toy.make_plan())
    assert run_sweep(store, lambda unit: toy.make_result(store.plan, unit)).stopped == ""


def test_a_terminal_gets_a_bar(toy, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = Progress(toy.make_plan(), tmp_path, DiskGuard(tmp_path), done=[0, 1], stream=stream)
    progress.unit_done(3)
    progress.close()
    assert "toy:" in stream.getvalue()
    assert "11/21" in stream.getvalue()


def test_an_error_before_the_first_unit_is_raised(toy, tmp_path):
    def usage(path):
        if threading.current_thread() is not threading.main_thread():
            raise OSError(errno.EIO, "no disk")
        return Usage(100, 10, 90)

    store = Store(tmp_path, toy.make_plan(unit_rows=(4,) * 3))
    with pytest.raises(OSError, match="no disk"):
        run_sweep(store, lambda unit: toy.make_result(store.plan, unit), guard=DiskGuard(tmp_path, usage=usage))
