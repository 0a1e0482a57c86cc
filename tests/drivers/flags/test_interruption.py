"""A signal ends a command within seconds with one line, whenever it comes and whatever it is doing."""

import random
import signal
import subprocess
import sys
import time

import pytest

# A driver that is busy in one of the ways in which signals get lost; it says when.
BUSY = """
import sys, time
from absl import app, flags
from causeway.drivers.flags.interruption import interruptible
from causeway.drivers.flags.refusals import run_driver
how = sys.argv[1]
if how.startswith("resumable"):
    flags.DEFINE_string("workdir", None, "")

class Swallows:
    def __del__(self):
        ready()
        time.sleep(60)

def ready():
    print("ready", flush=True)

def deaf():
    ready()
    try:
        time.sleep(60)
    except BaseException:
        pass
    time.sleep(60)

def compiled():
    # The main thread runs no Python before the call returns, as while XLA compiles.
    import hashlib
    ready()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

def translated():
    ready()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        raise ValueError("a library: the operation was cancelled") from None

def stopped():
    from causeway.engine.sweep.interrupt import Interrupt, Stopped
    with Interrupt() as interrupt:
        ready()
        while not interrupt.requested:
            time.sleep(0.01)
        raise Stopped("stopped after step 3")

def done():
    # What Python does at its end, such as waiting for threads, may take its time.
    import atexit
    atexit.register(time.sleep, 1.5)
    atexit.register(ready)
    sys.exit()

def main(argv):
    if how == "swallowed":
        Swallows()
    elif how in globals():
        globals()[how]()
    else:
        ready()
        time.sleep(60)
    print("went on")

run_driver(main, ["causeway toy", *sys.argv[2:]])
"""
AGAIN = "causeway toy: interrupted; rerun the same command to resume\n"
CASES = {
    "plain": (130, "causeway toy: interrupted\n"),
    "resumable": (130, AGAIN),
    "swallowed": (130, "causeway toy: interrupted\n"),
    "deaf": (130, "causeway toy: interrupted\n"),
    "compiled": (130, "causeway toy: interrupted\n"),
    "translated": (130, "causeway toy: interrupted\n"),
    "stopped": (3, "causeway toy: stopped after step 3\n"),
}


def start(*arguments, ignoring=False):
    return subprocess.Popen(
        [sys.executable, "-P", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignoring else None,
    )  # fmt: skip


def ended(process, number):
    """Status, seconds and what was said, of a process that got a signal."""
    began = time.monotonic()
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    return process.returncode, time.monotonic() - began, told


@pytest.mark.slow
def test_whatever_it_is_doing():
    running = {how: start("-c", BUSY, how) for how in CASES}
    for how, process in running.items():
        assert process.stdout.readline() == "ready\n", how
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for how, process in running.items():
        out, told = process.communicate(timeout=60)
        assert (process.returncode, told) == CASES[how], how
        assert "went on" not in out
    assert time.monotonic() - began < 6


@pytest.mark.slow
def test_a_signal_after_the_end_changes_no_status():
    process = start("-c", BUSY, "done")
    process.stdout.readline()
    status, seconds, told = ended(process, signal.SIGINT)
    assert (status, told) == (0, "")
    assert seconds > 1


def test_a_second_signal_ends_it_at_once():
    process = start("-c", BUSY, "deaf")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    status, seconds, told = ended(process, signal.SIGINT)
    assert (status, told) == (130, "causeway toy: interrupted\n")
    assert seconds < 2


def test_where_a_shell_ignores_sigint_for_it():
    process = start("-c", BUSY, "plain", ignoring=True)
    process.stdout.readline()
    assert ended(process, signal.SIGINT)[0] == 130


def test_the_place_is_shown_on_request():
    process = start("-c", BUSY, "plain", "--traceback")
    process.stdout.readline()
    status, _, told = ended(process, signal.SIGINT)
    assert status == 130
    assert "Traceback" in told
    assert told.endswith("causeway toy: interrupted\n")


def handles(process) -> bool:
    """Whether a process catches SIGTERM: from then on it is ours to answer."""
    with open(f"/proc/{process.pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def at_a_random_moment(command, folder, seed, within):
    """A driver's answer to a signal that comes some time after it can hear one, and before it is done: a moment that
    turns out to lie after the end is drawn again, from half the time."""
    moments = random.Random(seed)
    while True:
        workdir = folder / f"run {seed} {within}"
        arguments, environment = command(
            "patch_sweep", "--model=bundled:tiny", f"--prompts={folder / 'prompts.jsonl'}",
            f"--features={folder / 'features.jsonl'}", "--value=a=0,b=5", f"--workdir={workdir}",
        )  # fmt: skip
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
        )
        while process.poll() is None and not handles(process):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, within))
        if process.poll() is None:
            began = time.monotonic()
            process.send_signal(moments.choice([signal.SIGINT, signal.SIGTERM]))
            out, told = process.communicate(timeout=60)
            # Its last line is printed: the command is done.
            if "everything is in" not in out:
                return process.returncode, time.monotonic() - began, told
            assert process.returncode in (0, 130), told
        else:
            assert process.wait() == 0, process.communicate()[1]
        within /= 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("interrupted")
    answers = '[{"text": " stop", "label": "stop"}, {"text": " bet", "label": "bet"}]'
    lines = [
        f'{{"text": "game: loss ${i}0.", "group": "{g}", "answers": {answers}}}' for i in range(1, 9) for g in "ab"
    ]
    (place / "prompts.jsonl").write_text("\n".join(lines))
    (place / "features.jsonl").write_text("\n".join(f'{{"layer": 1, "feature": {i}}}' for i in range(40)))
    return place


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("seed", "within"),
    [(0, 0.3), (1, 2.0), *(pytest.param(seed, 12.0, marks=pytest.mark.slow) for seed in range(2, 12))],
)
def test_a_sweep_at_a_random_moment(command, folder, seed, within):
    status, seconds, told = at_a_random_moment(command, folder, seed, within)
    assert status in (130, 3), told
    assert seconds < 5.5
    assert "Traceback" not in told
    assert told.splitlines()[-1].split(": ")[-1].startswith(("interrupted", "stopped by a signal"))
