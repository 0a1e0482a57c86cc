"""A stage's command as a process of its own, so that its memory goes back and a crash hurts it alone.

It has a process group of its own: a signal to the study is passed on once, and the command ends the way it ends by
itself, within seconds (`flags.interruption`). A study that is killed leaves its command running; that holds the lock
of its stage until it ends, so the next study does not start a second one beside it.
"""

import contextlib
import fcntl
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from causeway.drivers.flags.interruption import GRACE_SECONDS, RESUMABLE
from causeway.engine.analyses.study.run_study import Ended

# How long a command that was asked to end is waited for.
PATIENCE_SECONDS = GRACE_SECONDS + 3
_LOOK_SECONDS = 0.1


def run(arguments: Sequence[str], log: Path) -> Ended:
    """Run a driver to its end (see `run_study.Start`).

    Raises:
        ValueError: the stage's command of an earlier study that was killed is still running.
    """
    command = [sys.executable, "-P", "-m", "causeway.drivers.main", *arguments]
    with _alone(log.with_name(f".{log.stem}.lock"), log.stem) as lock, log.open("ab") as out:
        out.write(f"$ {shlex.join(['causeway', *arguments])}\n".encode())
        out.flush()
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, process_group=0,
            pass_fds=[lock.fileno()],
        )  # fmt: skip
        lock.truncate(0)
        lock.write(f"{process.pid}\n".encode())
        lock.flush()
        cpu_seconds, peak, stopped = _waited(process)
    status = process.returncode
    return Ended(status, time.monotonic() - started, cpu_seconds, peak or None, stopped or status == RESUMABLE)


def last_lines(log: Path, count: int = 8) -> list[str]:
    """The end of what a command printed."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    return [line for line in text.splitlines() if line.strip()][-count:]


def _waited(process: subprocess.Popen) -> tuple[float, int, bool]:
    """Seconds of processors, most bytes of memory, and whether a signal came; after the process has ended."""
    peak, asked = 0, 0.0
    while True:
        try:
            found, status, usage = os.wait4(process.pid, os.WNOHANG)
            if found:
                process.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_utime + usage.ru_stime, max(peak, _own_peak(usage.ru_maxrss)), bool(asked)
            peak = max(peak, _peak(process.pid))
            if asked and time.monotonic() - asked > PATIENCE_SECONDS:
                process.kill()
            time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            asked = asked or time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)


def _peak(pid: int) -> int:
    """Most bytes of a running process; 0 where the system does not say."""
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _own_peak(kilobytes: int) -> int:
    """What the system says of an ended process; 0 where that is what this process itself had when it started it."""
    unit = 1 if sys.platform == "darwin" else 1024
    return 0 if kilobytes <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss else kilobytes * unit


@contextlib.contextmanager
def _alone(path: Path, stage: str) -> Iterator[IO[bytes]]:
    """The lock of a stage, which its command inherits."""
    with path.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = path.read_text().strip()
            raise ValueError(
                f"workdir: {stage} still runs, as process {process}, for a killed study; wait for it, or end it"
            ) from None
        yield lock
