"""Processes of jax.distributed: what they tell each other, here through a dictionary in place of the service."""

import threading
import time

import pytest

from causeway.engine.sweep import distributed, others
from causeway.engine.sweep.distributed import Process
from causeway.engine.sweep.one_mesh import OneMesh
from causeway.engine.sweep.processes import ShareDone, joined, results_by_one
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


class Service:
    """Keys and values, as the client of jax's coordination service gives them."""

    def __init__(self):
        self._values = {}

    def key_value_set(self, key, value, allow_overwrite=False):
        if key in self._values and not allow_overwrite:
            raise RuntimeError(f"ALREADY_EXISTS: {key}")
        self._values[key] = value

    def key_value_try_get(self, key):
        if key not in self._values:
            raise RuntimeError(f"NOT_FOUND: {key}")
        return self._values[key]

    key_value_set_bytes, key_value_try_get_bytes = key_value_set, key_value_try_get


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in {
        "_BEAT_SECONDS": 0.05,
        "LOST_SECONDS": 0.5,
        "_LOOK_SECONDS": 0.02,
        "_ERROR_SECONDS": 0.2,
    }.items():
        monkeypatch.setattr(distributed, name, value)
    monkeypatch.setattr(others, "LOST_SECONDS", 0.2)
    monkeypatch.setattr("causeway.engine.sweep.runner._LOOK_SECONDS", 0.05)


def together(works):
    """What each of some functions ends with, run at once; the index is given."""
    ends = {}

    def work(index):
        try:
            ends[index] = works[index](index)
        except (ShareDone, ValueError) as end:
            ends[index] = end

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return [ends[index] for index in range(len(works))]


def test_the_data_are_those_of_one_process(toy, finished, contents, tmp_path):
    service, plan = Service(), toy.make_plan()

    def work(index):
        with joined(Process(index, 2, service, "here:1"), tmp_path / "crew"):
            run_sweep(Store(tmp_path / "crew", plan), lambda unit: toy.make_result(plan, unit))
            results_by_one()
            return "leads"

    ends = together([work, work])
    assert ends.count("leads") == 1
    assert sum(isinstance(end, ShareDone) for end in ends) == 1
    assert contents(Store(tmp_path / "crew", plan)) == contents(finished)
    assert not list((tmp_path / "crew").glob(".*"))


def test_plans_that_differ_are_refused_by_both_before_anything_is_written(toy, tmp_path):
    service = Service()

    def work(index):
        plan = toy.make_plan(temperature=0.5 + index)
        with joined(Process(index, 2, service, "here:1"), tmp_path):
            return run_sweep(Store(tmp_path, plan), lambda unit: toy.make_result(plan, unit))

    first, second = map(str, together([work, work]))
    assert first == (
        "process 0/2 does not compute what process 1/2 does: temperature: 1.5 there, 0.5 here; give all of them the "
        "same command"
    )
    assert "process 1/2 does not compute what process 0/2 does: temperature: 0.5 there, 1.5 here" in second
    assert not list(tmp_path.iterdir())


def test_a_process_that_ends_early_is_told(toy, finished, contents, tmp_path):
    """The other one computes its own units, says who is missing and stops, to be resumed."""
    service, plan = Service(), toy.make_plan()
    workdir = tmp_path / "crew"

    def whole(index):
        with joined(Process(index, 2, service, "here:1"), workdir):
            return run_sweep(Store(workdir, plan), lambda unit: toy.make_result(plan, unit)).stopped

    def broken(index):
        def compute(unit):
            raise ValueError("broken")

        with joined(Process(index, 2, service, "here:1"), workdir):
            return run_sweep(Store(workdir, plan), compute)

    ends = together([whole, broken])
    assert ends[0] == "others"
    assert str(ends[1]) == "broken"
    run_sweep(Store(workdir, plan), lambda unit: toy.make_result(plan, unit))
    assert contents(Store(workdir, plan)) == contents(finished)


def test_one_that_is_gone_before_its_plan_is_known(toy, tmp_path):
    service = Service()

    def works(index):
        with joined(Process(index, 2, service, "here:1"), tmp_path):
            return run_sweep(Store(tmp_path, toy.make_plan()), lambda unit: toy.make_result(toy.make_plan(), unit))

    def refuses(index):
        with joined(Process(index, 2, service, "here:1"), tmp_path):
            raise ValueError("no such model")

    ends = together([works, refuses])
    assert "process 1/2 ended before its plan was known; what it says tells why" in str(ends[0])


def test_processes_of_different_numbers_are_refused_by_all_that_came():
    service = Service()
    ends = together([lambda index: Process(index, 2, service, "here:1").meet(list),
                     lambda index: Process(index, 3, service, "here:1").meet(list)])  # fmt: skip
    line = "processes: got {} in process {}, but {} in process {}; give all of them the same number"
    assert list(map(str, ends)) == [line.format(2, 0, 3, 1), line.format(3, 1, 2, 0)]


def test_one_that_is_gone_before_devices_are_known():
    def lost():
        raise RuntimeError("Unable to initialize backend 'cpu': GetKeyValue() timed out")

    service = Service()
    ends = together([lambda index: Process(index, 2, service, "here:1").meet(lost)] * 2)
    for index, end in enumerate(ends):
        assert str(end).startswith(f"process {index}/2: the devices of all processes did not become known (Unable to")
    ends = together([lambda index: Process(index, 2, Service(), "here:1").meet(list)])
    assert "process 1/2 ended before it said of how many it is; what it says tells why" in str(ends[0])


def test_the_folder_has_to_be_one(tmp_path):
    service = Service()

    def work(index):
        with joined(Process(index, 2, service, "here:1"), tmp_path / str(index)):
            pass

    for end in together([work, work]):
        assert "is not the same folder for process 1/2 as for process 0/2; needs one on a disk that all" in str(end)


def test_processes_of_different_meshes_are_refused_by_all():
    service = Service()
    ends = together([lambda index: Process(index, 2, service, "here:1").meet(list, "data:2,model:2"),
                     lambda index: Process(index, 2, service, "here:1").meet(list)])  # fmt: skip
    line = "mesh: got {} in process {}, but {} in process {}; give all of them the same mesh"
    assert list(map(str, ends)) == [
        line.format("data:2,model:2", 0, "none", 1),
        line.format("none", 1, "data:2,model:2", 0),
    ]


def one_mesh(index, service, aborted=lambda line, met: None):
    return OneMesh(Process(index, 2, service, "here:1"), aborted)


def test_on_one_mesh_all_compute_every_unit_in_one_order_and_each_commits_its_own(toy, finished, contents, tmp_path):
    service, plan, workdir = Service(), toy.make_plan(), tmp_path / "crew"
    # One unit is there before; one process is slow to come, and finds what the other has committed meanwhile.
    run_sweep(Store(workdir, plan), lambda unit: toy.make_result(plan, unit), units=[1])
    computed, meeting = {0: [], 1: []}, threading.Barrier(2, timeout=30)

    def work(index):
        def compute(unit):
            meeting.wait()
            computed[index].append(unit)
            return toy.make_result(plan, unit)

        with joined(one_mesh(index, service), workdir):
            run_sweep(Store(workdir, plan), compute)
            results_by_one()
            return "leads"

    ends = together([work, work])
    assert ends.count("leads") == 1
    assert sum(isinstance(end, ShareDone) for end in ends) == 1
    assert computed[0] == computed[1] == [unit for unit in range(plan.units) if unit != 1]
    assert contents(Store(workdir, plan)) == contents(finished)


def test_on_one_mesh_each_mends_its_own_units_before_process_0_looks_what_is_missing(toy, finished, contents, tmp_path):
    service, plan, workdir = Service(), toy.make_plan(), tmp_path / "crew"
    run_sweep(Store(workdir, plan), lambda unit: toy.make_result(plan, unit))
    for unit in (0, 1):
        (workdir / "units" / f"{unit:05d}.parquet").write_bytes(b"damaged")
    computed = {0: [], 1: []}

    def work(index):
        def compute(unit):
            computed[index].append(unit)
            return toy.make_result(plan, unit)

        with joined(one_mesh(index, service), workdir):
            return run_sweep(Store(workdir, plan), compute, repair=True).stopped

    assert together([work, work]) == ["", ""]
    assert computed == {0: [0, 1], 1: [0, 1]}
    assert contents(Store(workdir, plan)) == contents(finished)


def test_on_one_mesh_whoever_is_left_alone_leaves(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("causeway.engine.sweep.one_mesh._WATCH_SECONDS", 0.05)
    service, plan, told, left = Service(), toy.make_plan(), [], threading.Event()

    def aborted(line, met):
        told.append((line, met))
        left.set()

    def waits(index):
        def compute(unit):  # a program that never ends
            assert left.wait(30)
            raise ValueError("left")

        with joined(one_mesh(index, service, aborted), tmp_path / "crew"):
            run_sweep(Store(tmp_path / "crew", plan), compute)

    def breaks(index):
        def compute(unit):
            raise ValueError("broken")

        with joined(one_mesh(index, service), tmp_path / "crew"):
            run_sweep(Store(tmp_path / "crew", plan), compute)

    assert list(map(str, together([waits, breaks]))) == ["left", "broken"]
    assert told[0] == (
        "process 1/2, without which nothing can be computed on this mesh, ended or is lost; finished units stay: start "
        "all processes again to resume", True,
    )  # fmt: skip


def test_on_one_mesh_a_meeting_that_is_refused_is_told_and_nobody_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("causeway.engine.sweep.one_mesh._WATCH_SECONDS", 0.01)
    service, said = Service(), []
    service.key_value_set("beat/1", "end")
    with (
        pytest.raises(ValueError, match=r"^process 1/2 ended before it looked there"),
        one_mesh(0, service, lambda line, met: said.append(line)).present(tmp_path),
    ):
        pass
    time.sleep(0.1)
    assert not said
