"""Units taken from a queue by processes that come and go. Threads stand in for processes."""

import threading
import time

import pytest

from causeway.engine.sweep.processes import ShareDone, joined, results_by_one
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store
from causeway.engine.sweep.unit_queue import Taker, UnitQueue


def test_every_unit_is_given_once_until_its_taker_is_lost():
    queue, missing = UnitQueue(), list(range(4))
    assert [queue.take("a", missing, name) for name in ("x", "y", "x")] == [0, 1, 2]
    assert queue.take("b", missing, "y") == 0
    queue.release("x")
    # Unit 0 was finished before its taker was lost.
    assert [queue.take("a", missing[1:], "y") for _ in range(3)] == [2, 3, None]
    assert queue.take("b", missing, "z") == 1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("causeway.engine.sweep.runner._LOOK_SECONDS", 0.05)


def test_what_a_lost_one_left_is_computed_by_those_that_wait(toy, finished, contents, tmp_path):
    queue, plan, workdir, ends, computed = UnitQueue(), toy.make_plan(), tmp_path / "crew", {}, []
    assert queue.take(plan.fingerprint, range(6), "actor 2/3") == 0

    def work(index):
        def compute(unit):
            computed.append(unit)
            return toy.make_result(plan, unit)

        try:
            with joined(Taker(index, 3, "a run of three", queue.take), workdir):
                run_sweep(Store(workdir, plan), compute)
                results_by_one()
                ends[index] = "leads"
        except ShareDone as done:
            ends[index] = done

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    while len(list(workdir.glob("units/*.json"))) < 5:
        time.sleep(0.01)
    assert Store(workdir, plan).missing() == [0]
    assert all(thread.is_alive() for thread in threads)
    queue.release("actor 2/3")
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(computed) == list(range(6))
    assert list(ends.values()).count("leads") == 1
    assert contents(Store(workdir, plan)) == contents(finished)


def test_another_run_is_kept_out(toy, tmp_path):
    plan, queue = toy.make_plan(), UnitQueue()
    with Store(tmp_path, plan).writing(share=Taker(0, 2, "the Ray run 1a", queue.take)):
        with Store(tmp_path, plan).writing(share=Taker(1, 2, "the Ray run 1a", queue.take)):
            pass
        other, refused = Taker(0, 2, "the Ray run 2b", queue.take), pytest.raises(ValueError, match="by the Ray run 1a")
        with refused, Store(tmp_path, plan).writing(share=other):
            pass
