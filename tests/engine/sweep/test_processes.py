"""Several processes in one workdir: every unit once, the data of one process, one of them goes on to the results.

Threads stand in for processes where nothing is killed: locks are held by file descriptors, and who one is by a context.
"""

import errno
import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from causeway.engine.sweep import locks, others
from causeway.engine.sweep.checksums import written_alone
from causeway.engine.sweep.processes import ShareDone, Worker, joined, results_by_one, share
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

SWEEPS = Path(__file__).parent


class Crew:
    """Workers of one sweep, each a thread, and what became of each."""

    def __init__(self, toy, workdir: Path, compute=None):
        self.plan, self.workdir = toy.make_plan(), workdir
        self.computed: list[int] = []
        self.ends: dict[int, object] = {}
        self._compute = compute or (lambda unit: toy.make_result(self.plan, unit))

    def run(self, index: int, count: int, repair: bool = False) -> None:
        def compute(unit: int):
            self.computed.append(unit)
            return self._compute(unit)

        def work() -> None:
            try:
                with joined(Worker(index, count), self.workdir):
                    self.ends[index] = run_sweep(Store(self.workdir, self.plan), compute, repair=repair).stopped
                    if not self.ends[index]:
                        results_by_one()
                        self.ends[index] = "leads"
            except (ShareDone, ValueError) as end:
                self.ends[index] = end

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(timeout=0.03)
        self.threads = [*getattr(self, "threads", []), thread]

    def end(self) -> None:
        for thread in self.threads:
            thread.join(timeout=60)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Nobody waits long."""
    monkeypatch.setattr(others, "LOST_SECONDS", 0.3)
    monkeypatch.setattr("causeway.engine.sweep.runner._LOOK_SECONDS", 0.05)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_data_are_those_of_one_process_and_one_leads(toy, finished, contents, tmp_path, count, monkeypatch):
    monkeypatch.setattr(others, "LOST_SECONDS", 30.0)
    crew = Crew(toy, tmp_path / "crew")
    for index in reversed(range(count)):
        crew.run(index, count)
    crew.end()
    assert sorted(crew.computed) == list(range(6))
    assert contents(Store(crew.workdir, crew.plan)) == contents(finished)
    assert [end for end in crew.ends.values() if end == "leads"] == ["leads"]
    assert sum(isinstance(end, ShareDone) for end in crew.ends.values()) == count - 1
    assert not list(crew.workdir.glob(".*lock*"))


def test_a_worker_whose_others_do_not_run_stops_and_the_last_one_puts_the_table_together(toy, tmp_path, capsys):
    crew = Crew(toy, tmp_path)
    crew.run(1, 2)
    crew.end()
    assert crew.computed == [1, 3, 5]
    assert crew.ends[1] == "others"
    told = capsys.readouterr().err
    assert "toy, worker 1/2: 3 units are missing, and worker 0/2 does not run; start what is not running" in told
    assert "3 of 6 units finished; start them, and rerun the same command to resume" in told
    crew.run(0, 2)
    crew.end()
    assert crew.ends[0] == "leads"
    assert Store(tmp_path, crew.plan).is_merged
    # Once everything is there, whoever comes alone may write the results again.
    crew.run(1, 2)
    crew.end()
    assert crew.ends[1] == "leads"
    assert sorted(crew.computed) == list(range(6))


def test_an_error_of_one_worker_leaves_the_others_units(toy, finished, contents, tmp_path):
    plan = toy.make_plan()

    def broken(unit: int):
        if unit == 2:
            raise ValueError("broken")
        return toy.make_result(plan, unit)

    crew = Crew(toy, tmp_path / "crew", broken)
    for index in range(2):
        crew.run(index, 2)
    crew.end()
    assert str(crew.ends[0]) == "broken"
    assert Store(crew.workdir, plan).missing() == [2, 4]
    again = Crew(toy, crew.workdir)
    for index in range(2):
        again.run(index, 2)
    again.end()
    assert again.computed == [2, 4]
    assert contents(Store(crew.workdir, plan)) == contents(finished)


@pytest.mark.slow
def test_who_may_not_join(toy, tmp_path):
    release = threading.Event()
    plan = toy.make_plan()

    def slow(unit: int):
        release.wait(30)
        return toy.make_result(plan, unit)

    crew = Crew(toy, tmp_path, slow)
    crew.run(0, 2)
    while not (tmp_path / "events.jsonl").exists():
        assert crew.threads[0].is_alive()
    try:
        with pytest.raises(ValueError, match=r"in use by 2 workers \(--worker=i/2\); wait for it, or name another"):
            run_sweep(Store(tmp_path, plan), slow)
        with pytest.raises(ValueError, match=r"in use by process \d+"), joined(Worker(0, 2), tmp_path):
            pass
        with (
            pytest.raises(ValueError, match=r"got 1/3, but worker 0/2 runs in .*; give i/2, or wait"),
            joined(Worker(1, 3), tmp_path),
        ):
            pass
        other = Store(tmp_path, toy.make_plan(temperature=0.1))
        with pytest.raises(ValueError, match="is of another plan: temperature"), joined(Worker(1, 2), tmp_path):
            run_sweep(other, slow)
    finally:
        release.set()
        crew.end()
    refused = pytest.raises(ValueError, match="in use by process")
    with Store(tmp_path, plan).writing(), refused, joined(Worker(1, 2), tmp_path):
        run_sweep(Store(tmp_path, plan), slow)


def test_each_worker_repairs_its_own_units(toy, finished, contents, tmp_path, monkeypatch):
    monkeypatch.setattr(others, "LOST_SECONDS", 30.0)
    expected = contents(finished)
    for unit in (2, 3):
        path = finished.workdir / f"units/{unit:05d}.parquet"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    crew = Crew(toy, finished.workdir)
    for index in range(2):
        crew.run(index, 2, repair=True)
    crew.end()
    assert sorted(crew.computed) == [2, 3]
    assert contents(Store(finished.workdir, crew.plan)) == expected
    assert Store(finished.workdir, crew.plan).verify() == []


def test_a_worker_that_repairs_alone_leaves_the_table_true(toy, finished, contents):
    """It is done before the other has looked at its own: the table that it finds, or puts together, is of rows as they
    were written, and what the other computes again has the same bytes."""
    expected, plan, workdir = contents(finished), toy.make_plan(), finished.workdir
    store, damaged = Store(workdir, plan), workdir / "units/00003.parquet"
    for merged in (True, False):
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
        if not merged:
            store.table_path.unlink()
            store.table_path.with_suffix(".json").unlink()
        alone = Crew(toy, workdir)
        alone.run(0, 2, repair=True)
        alone.end()
        assert alone.computed == []
        if merged:
            assert alone.ends[0] == "leads"
        else:
            assert "00003.parquet" in str(alone.ends[0])
            assert not store.is_merged
        other = Crew(toy, workdir)
        other.run(1, 2, repair=True)
        other.end()
        assert (other.computed, other.ends[1]) == ([3], "leads")
        assert contents(store) == expected
        assert store.verify() == []


def test_a_worker_whose_others_take_units_away_to_repair_them_stops(toy, finished, monkeypatch):
    crew, merge = Crew(toy, finished.workdir), Store.merge

    def late(store):
        (finished.workdir / "units/00003.json").unlink()
        return merge(store)

    monkeypatch.setattr(Store, "merge", late)
    crew.run(0, 2)
    crew.end()
    assert crew.ends[0] == "others"


@pytest.mark.slow
def test_a_killed_worker_is_told_and_its_units_are_resumed(toy, finished, contents, tmp_path):
    code = f"""
import sys, time
sys.path.insert(0, {str(SWEEPS)!r})
import toy_sweep
from pathlib import Path
from causeway.engine.sweep.processes import Worker, joined
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

workdir, plan = Path({str(tmp_path / "crew")!r}), toy_sweep.make_plan()
def compute(unit):
    if unit == 3:
        time.sleep(60)
    return toy_sweep.make_result(plan, unit)
with joined(Worker(1, 2), workdir):
    run_sweep(Store(workdir, plan), compute)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    crew = Crew(toy, tmp_path / "crew")
    while not (crew.workdir / "units/00001.json").exists():
        assert process.poll() is None
    crew.run(0, 2)
    process.kill()
    process.wait()
    crew.end()
    assert crew.computed == [0, 2, 4]
    assert crew.ends[0] == "others"
    again = Crew(toy, crew.workdir)
    again.run(1, 2)
    again.end()
    assert again.computed == [3, 5]
    assert again.ends[1] == "leads"
    assert contents(Store(crew.workdir, crew.plan)) == contents(finished)


@pytest.mark.parametrize("text", ["3/2", "0/0", "a/b", "1", "-1/2", "1/2/3", "", "2/2", "1 / 2", "٣/٤"])
def test_no_such_worker(text):
    with pytest.raises(ValueError, match=r"worker: got .*; needs i/n with i from 0 to n-1, such as 0/4"):
        Worker.read(text)


def test_results_are_one_processs(tmp_path):
    """Whoever does not lead ends where results are written; the leader works alone from there on."""
    with joined(Worker(0, 2), tmp_path), written_alone(tmp_path, ()):
        assert share().alone
    own = Worker(1, 2)
    own.leads = False
    with joined(own, tmp_path), pytest.raises(ShareDone, match="worker 1/2 is done"), written_alone(tmp_path, ()):
        pass
    assert share().alone


def test_a_disk_without_locks(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    refused = pytest.raises(ValueError, match=r"its disk knows no locks \(flock: No locks available\); name a folder")
    with refused, locks.exclusive(tmp_path / ".lock"):
        pass


def test_one_that_enters_waits_for_one_of_its_crew_that_leaves(tmp_path, monkeypatch):
    """Who leaves takes the lock for itself, to see whether it is the last."""
    path = tmp_path / ".lock"
    with open(path, "w") as leaving:
        leaving.write("crew")
        leaving.flush()
        fcntl.flock(leaving, fcntl.LOCK_EX)
        timer = threading.Timer(0.1, fcntl.flock, (leaving, fcntl.LOCK_UN))
        timer.start()
        with locks.shared(path, "crew") as (there, _):
            assert there()
        timer.join()
        path.write_text("crew")
    monkeypatch.setattr(locks, "_LEAVING_SECONDS", 0.1)
    with open(path) as staying:
        fcntl.flock(staying, fcntl.LOCK_EX)
        for crew in ("crew", "others"):
            with pytest.raises(ValueError, match="in use by crew; wait for it"), locks.shared(path, crew):
                pass


def test_where_no_phase_was_run_the_first_that_runs_writes(tmp_path):
    with joined(Worker(0, 2), tmp_path), joined(Worker(1, 2), tmp_path), pytest.raises(ShareDone):
        results_by_one()
    with joined(Worker(1, 2), tmp_path):
        results_by_one()
        assert share().alone
