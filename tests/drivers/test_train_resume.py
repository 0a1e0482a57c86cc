"""Training commands killed at any durable operation: the same command ends where an uninterrupted one does.

What stands under --out is whole or not there; two runs do not share a workdir; a full disk and a signal are one line.
"""

import json
import os
import signal
import subprocess

import pytest

from causeway.engine.sweep import locks
from causeway.engine.whole_folder import replacing_folder

# Runs a driver that kills itself at its n-th fsync or rename (or fails there for want of space), and counts them.
CRASHES = """
import errno, importlib, itertools, os, signal, sys
from causeway.drivers.flags.refusals import run_driver
driver, what, at, *arguments = sys.argv[1:]
calls = itertools.count(1)

def counted(function):
    def wrapper(*a):
        if next(calls) == int(at):
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")
        return function(*a)
    return wrapper

os.fsync, os.replace = counted(os.fsync), counted(os.replace)
try:
    run_driver(importlib.import_module("causeway.drivers." + driver).main, ["causeway " + driver, *arguments])
finally:
    print("operations", next(calls) - 1)
"""
MODEL = (
    "--config.model.num_layers=1", "--config.model.d_model=16", "--config.model.num_heads=2",
    "--config.model.num_kv_heads=1", "--config.model.head_dim=8", "--config.model.d_ff=16", "--config.schedule.steps=8",
    "--config.schedule.warmup_steps=2", "--config.schedule.checkpoint_every=4", "--config.text.rows=4",
    "--config.text.length=12", "--data=texts.json",
)  # fmt: skip
DICTIONARIES = (
    "--model=bundled:tiny", "--layers=1,3", "--num_features=32", "--l0=4", "--steps=6", "--batch=64", "--length=16",
    "--checkpoint_every=3", "--data=texts.json",
)  # fmt: skip
FLAGS = {"train_model": MODEL, "train_dictionary": DICTIONARIES}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train_resume")
    texts = [f"The capital of number {i} is {i % 7}, and it is not {i % 5}." for i in range(150)]
    (folder / "texts.json").write_text(json.dumps(texts))
    return folder


@pytest.fixture(scope="module")
def train(place, forked):
    """`train(driver, out)`: a run to the end, or to its n-th durable operation."""

    def train(driver, out, what="kill", at=0, extra=()):
        return forked.run(CRASHES, driver, what, at, f"--out={out}", *FLAGS[driver], *extra, place=place)

    return train


@pytest.fixture(scope="module")
def whole(place, train):
    """The uninterrupted run of each driver: its files and the number of its operations."""
    made = {}

    def whole(driver):
        if driver not in made:
            done = train(driver, f"whole_{driver}")
            assert done.returncode == 0, done.stderr
            made[driver] = files(place / f"whole_{driver}"), int(done.stdout.split()[-1])
        return made[driver]

    return whole


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Operations counted from the first of a run, or from the last of the uninterrupted one where nothing is trained yet.
@pytest.mark.parametrize(
    ("driver", "moments"),
    [
        ("train_model", ("full -6", "kill 4")),
        pytest.param(
            "train_model", ("kill 20", "kill -2", "kill 1", "kill 3", "full 7", "kill 9"), marks=pytest.mark.slow
        ),
        pytest.param(
            "train_dictionary", ("kill 25", "kill -2", "kill 1", "kill 5", "full 9", "kill 14"), marks=pytest.mark.slow
        ),
    ],
)
def test_killed_and_run_again(place, train, whole, driver, moments):
    """One layer of two, or weights without a configuration, never stand under the name."""
    expected, operations = whole(driver)
    out = f"broken_{driver}_{len(moments)}"
    for what, at in (moment.split() for moment in moments):
        done = train(driver, out, what, int(at) % (operations + 1))
        if what == "kill":
            assert done.returncode == -signal.SIGKILL, done.stderr
        else:
            assert done.returncode == 3
            # The file is that of whichever operation the number falls on.
            line = done.stderr.splitlines()[-1]
            assert line.startswith(f"causeway {driver}: stopped because the disk is full (")
            assert line.endswith("); free space and rerun the same command to resume")
        assert not (place / out).exists()
    done = train(driver, out)
    assert done.returncode == 0, done.stderr
    assert files(place / out) == expected
    left = {path.name for path in place.iterdir() if out in path.name and not path.name.endswith(".work")}
    assert left == {out}


def test_a_workdir_in_use_is_refused(place, train):
    (place / "held.work").mkdir()
    with locks.exclusive(place / "held.work" / ".lock"):
        done = train("train_model", "held")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("causeway train_model: ")
    assert f"in use by process {os.getpid()}" in done.stderr
    assert not (place / "held").exists()


@pytest.mark.slow
def test_a_signal_while_training_saves_and_says_how_to_resume(place, train, whole, command):
    expected, _ = whole("train_model")
    arguments, environment = command("train_model", "--out=stopped", *MODEL, "--report_every=1")
    process = subprocess.Popen(
        arguments, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("step 1 ")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3
    assert told.startswith("causeway train_model: stopped by a signal after step ")
    assert told.endswith(" of 8; rerun the same command to resume\n")
    assert train("train_model", "stopped").returncode == 0
    assert files(place / "stopped") == expected


@pytest.mark.slow
def test_overwriting_takes_the_old_set_away_and_nothing_else(place, train, whole):
    """Dictionaries of other layers would count as the new set's; what does not belong to a set stays."""
    out = place / "over"
    with replacing_folder(out) as partial:
        (partial / "blocks.2.hook_resid_post").mkdir()
        (partial / "blocks.2.hook_resid_post" / "cfg.json").write_text("{}")
        (partial / "notes").write_text("mine")
    refused = train("train_dictionary", "over")
    assert refused.returncode == 2
    assert "is there already" in refused.stderr
    assert train("train_dictionary", "over", extra=("--overwrite", "--steps=2")).returncode == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["blocks.1.hook_resid_post", "blocks.3.hook_resid_post", "notes", "quality.json"]
