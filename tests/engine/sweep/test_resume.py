"""kill -9 at any moment, then the same command: the data files are those of an uninterrupted run, byte for byte."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from causeway.engine.sweep.store import Store

TOY = Path(__file__).with_name("toy_sweep.py")


def start(workdir: Path, seconds: float = 0.0, crash: int = 0, workers: int = 1) -> subprocess.Popen:
    arguments = [str(workdir), str(seconds), str(crash), str(workers)]
    return subprocess.Popen([sys.executable, str(TOY), *arguments], stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen) -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_random_moments(toy, finished, contents, tmp_path, workers):
    workdir = tmp_path / "killed"
    moments = random.Random(workers)
    killed = 0
    for _ in range(3):
        process = start(workdir, seconds=0.03, workers=workers)
        units = len(list(workdir.glob("units/*.json")))
        wait_for(lambda before=units: len(list(workdir.glob("units/*.json"))) > before, process)
        time.sleep(moments.uniform(0, 0.04))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed
    process = start(workdir, workers=workers)
    assert "6 of 6 units finished" in process.communicate()[1]
    assert process.returncode == 0
    store = Store(workdir, toy.make_plan())
    assert contents(store) == contents(finished)
    assert store.verify() == []
    assert not list(workdir.rglob("*.tmp"))


@pytest.mark.parametrize("crash", [1, 3, 7, 9, 13, 16])
def test_kill_at_a_step_of_the_commit(toy, finished, contents, tmp_path, crash):
    """The process dies in the plan, between shards, between Parquet and manifest, between rename and fsync."""
    process = start(tmp_path, crash=crash)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    store = Store(tmp_path, toy.make_plan())
    assert store.verify() == []
    toy.run_sweep(store, lambda unit: toy.make_result(store.plan, unit))
    assert contents(store) == contents(finished)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_a_unit_that_takes_long_is_not_waited_for(toy, tmp_path):
    process = start(tmp_path, seconds=60)
    wait_for(lambda: (tmp_path / "events.jsonl").exists(), process)
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=30)[1]
    assert process.returncode == 3
    assert time.monotonic() - began < 5
    assert "stopped by a signal, 0 of 6 units finished; rerun the same command to resume" in told
    assert Store(tmp_path, toy.make_plan()).finished() == []


@pytest.mark.slow
def test_a_second_signal_stops_at_once_and_is_told_in_one_line(toy, finished, contents, tmp_path):
    process = start(tmp_path, seconds=3)
    wait_for(lambda: (tmp_path / "events.jsonl").exists(), process)
    for _ in range(2):
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    told = process.communicate(timeout=20)[1]
    assert time.monotonic() - sent < 2.5
    assert process.returncode == 3
    assert told.count("stopped by a signal, 0 of 6 units finished; rerun the same command to resume") == 1
    assert "Traceback" not in told
    assert start(tmp_path).wait(timeout=20) == 0
    assert contents(Store(tmp_path, toy.make_plan())) == contents(finished)


def test_signal_stops_cleanly_and_says_how_to_resume(toy, tmp_path):
    process = start(tmp_path, seconds=0.1)
    wait_for(lambda: list(tmp_path.glob("units/*.json")), process)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=20)[1]
    assert process.returncode == 3
    assert "rerun the same command to resume" in told
    assert "Traceback" not in told
    store = Store(tmp_path, toy.make_plan())
    assert 0 < len(store.finished()) < store.plan.units
    assert store.verify() == []
    # A torn last line of a killed run must not swallow the next event.
    with open(tmp_path / "events.jsonl", "a") as events:
        events.write('{"time": "2')
    assert start(tmp_path).wait(timeout=20) == 0
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines if line.endswith("}")]
    assert events == ["start", "signal", "end", "start", "end"]
