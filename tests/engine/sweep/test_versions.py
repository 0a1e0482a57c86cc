"""Plans that go on from an earlier version: which units are kept, and under which fingerprint."""

import dataclasses
import json

import pytest

from causeway.engine.sweep.interrupt import Stopped
from causeway.engine.sweep.job import Job, run_whole
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


@pytest.fixture
def versions(toy, tmp_path):
    """A workdir with four units of six, its plan, and the version that goes on from the second unit."""
    before = toy.make_plan()
    run_sweep(Store(tmp_path / "run", before), lambda unit: toy.make_result(before, unit), limit=4)
    now = dataclasses.replace(toy.make_plan(temperature=0.5), versions=((2, before.fingerprint),))
    return tmp_path / "run", before, now


def test_units_of_the_earlier_version_are_kept_and_the_others_computed_again(toy, versions):
    workdir, before, now = versions
    kept, seen = (workdir / "units/00001.json").read_bytes(), []

    def compute(unit):
        seen.append(unit)
        return toy.make_result(now, unit)

    report = run_sweep(Store(workdir, now), compute)
    assert (seen, report.stopped) == ([2, 3, 4, 5], "")
    assert (workdir / "units/00001.json").read_bytes() == kept
    own = [json.loads((workdir / f"units/{unit:05d}.json").read_text())["fingerprint"] for unit in range(6)]
    assert own == [before.fingerprint] * 2 + [now.fingerprint] * 4
    assert not Store(workdir, now).verify()
    assert run_sweep(Store(workdir, now), compute).computed == 0


@pytest.mark.parametrize("written", [False, True])
def test_a_process_killed_while_it_binds_the_next_version_leaves_what_resumes(toy, versions, monkeypatch, written):
    workdir, before, now = versions
    write = Plan.write

    def dies(plan, folder):
        if written:
            write(plan, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(Plan, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(Store(workdir, now), lambda unit: toy.make_result(now, unit))
    monkeypatch.setattr(Plan, "write", write)
    if not written:
        assert Store(workdir, before).finished() == [0, 1]
    report = run_sweep(Store(workdir, now), lambda unit: toy.make_result(now, unit))
    assert (report.computed, report.stopped) == (4, "")
    assert not Store(workdir, now).verify()


def test_a_workdir_that_went_on_is_refused_to_its_earlier_plan(toy, versions):
    workdir, before, now = versions
    run_sweep(Store(workdir, now), lambda unit: toy.make_result(now, unit), limit=1)
    with pytest.raises(ValueError, match=r"of another plan: temperature: 0\.5 in the workdir, 0.7 now"):
        run_sweep(Store(workdir, before), lambda unit: toy.make_result(before, unit))


def test_another_plan_is_no_version(toy, versions):
    workdir, _, now = versions
    stranger = dataclasses.replace(now, versions=((2, "0" * 64),))
    with pytest.raises(ValueError, match="of another plan"):
        run_sweep(Store(workdir, stranger), lambda unit: toy.make_result(now, unit))


@pytest.mark.parametrize("error", [MemoryError("no"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9")])
def test_memory_that_runs_out_stops_a_sweep_where_it_can_go_on(toy, tmp_path, error):
    plan = toy.make_plan()

    def compute(unit):
        if unit == 3:
            raise error
        return toy.make_result(plan, unit)

    report = run_sweep(Store(tmp_path, plan), compute)
    assert (report.stopped, report.finished) == ("memory", 3)
    assert "memory ran out, 3 of 6 units finished" in (tmp_path / "events.jsonl").read_text()

    class Whole(Job):
        @property
        def plan(self):
            return plan

        def unit(self, index):
            return compute(index)

    # A driver leaves with status 3 where this comes, and not with that of bad input.
    with pytest.raises(
        Stopped, match=r"memory ran out: 3 of 6 units are in .*; the same command goes on where there is"
    ):
        run_whole(Whole(), tmp_path)
