"""Flags of the processes that compute one run together, for every command whose run resumes from --workdir."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from causeway.drivers.flags import interruption
from causeway.drivers.flags.flag_values import given, no_effect

if TYPE_CHECKING:
    from causeway.engine.sweep.processes import Share

FLAGS = flags.FLAGS
_REACH_SECONDS = 50.0


@contextlib.contextmanager
def joined(command: str) -> Iterator[None]:
    """This process as one of those that the flags say, while the block lasts; said when another one writes results.

    Raises:
        ValueError: no such process, it runs already, or the others cannot be reached.
    """
    if "worker" not in FLAGS or not (FLAGS.worker or FLAGS.coordinator):
        if "worker" in FLAGS:
            no_effect("without --coordinator", "processes", "process")
        yield
        return
    if "plan" in FLAGS and FLAGS.plan:
        no_effect("with --plan, which computes nothing", "worker", "coordinator", "processes", "process")
    workdir = Path(given("workdir", "with several processes, the folder in which they meet"))
    from causeway.engine.sweep.processes import ShareDone, joined

    try:
        with joined(_share(), workdir):
            yield
    except ShareDone as done:
        print(f"{command}: {done}")


def _share() -> Share:
    from causeway.engine.sweep.processes import Worker

    if not FLAGS.worker:
        return _process()
    if FLAGS.coordinator:
        raise ValueError("--worker, --coordinator: got both; workers know nothing of each other, give one of them")
    no_effect("with --worker", "processes", "process")
    return Worker.read(FLAGS.worker)


def _process() -> Share:
    from causeway.engine.sweep.distributed import connect

    automatic = FLAGS.coordinator == "auto"
    if not automatic:
        if FLAGS.processes is None or FLAGS.process is None:
            raise ValueError("--processes, --process: got nothing; needed beside the address of --coordinator")
        if FLAGS.process >= FLAGS.processes:
            raise ValueError(f"--process: got {FLAGS.process}; needs a number from 0 to {FLAGS.processes - 1}")
        _check_reachable(FLAGS.coordinator, FLAGS.process)
    return connect(None if automatic else FLAGS.coordinator, FLAGS.processes, FLAGS.process, interruption.leave)


def _check_reachable(address: str, process: int) -> None:
    """Waits for process 0, because jax, when it does not come, aborts the process."""
    if not (found := re.fullmatch(r"\[?(.+?)\]?:(\d{1,5})", address)):
        raise ValueError(f"--coordinator: got {address!r}; needs HOST:PORT of process 0, as localhost:12355, or auto")
    until = time.monotonic() + _REACH_SECONDS
    while process:
        try:
            socket.create_connection((found[1], int(found[2])), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() >= until:
                raise ValueError(
                    f"--coordinator: got {address}, which did not answer in {_REACH_SECONDS:.0f} s ({error}); needs "
                    "the machine of process 0, started at about the same time, and a port that is free there"
                ) from None
        time.sleep(0.5)
