"""Flags of the processes that compute one run together, for every command whose run resumes from --workdir."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from causeway.drivers.flags import interruption
from causeway.drivers.flags.flag_values import given, no_effect

if TYPE_CHECKING:
    from causeway.engine.sweep.processes import Share

FLAGS = flags.FLAGS
# Processes are started at about the same time; a cluster of Ray is there before.
_REACH_SECONDS, _ANSWER_SECONDS = 50.0, 5.0
_ADDRESS = re.compile(r"(?:ray://)?\[?(.+?)\]?:(\d{1,5})")


def run(main: Callable[[list[str]], None], parsed: list[str], command: list[str]) -> None:
    """Run a driver alone, as one of the processes that the flags say, or in actors of Ray.

    Args:
        main: of the driver. parsed: its arguments. command: its name and flags as they were typed.

    Raises:
        ValueError: no such process, it runs already, the others cannot be reached, or whatever the driver raises.
    """
    if "worker" not in FLAGS or not _ways():
        if "worker" in FLAGS:
            no_effect("without --coordinator or --ray", "processes")
            no_effect("without --coordinator", "process")
        main(parsed)
        return
    workdir = Path(given("workdir", "with several processes, the folder in which they meet"))
    _check()
    if FLAGS.ray:
        from causeway.drivers.flags import ray_actors

        if FLAGS.ray not in ("local", "auto"):
            _check_address("ray", _ANSWER_SECONDS)
        ray_actors.run(command, FLAGS.ray, FLAGS.processes)
        return
    from causeway.engine.sweep.processes import ShareDone, joined

    try:
        with joined(_share(), workdir):
            main(parsed)
    except ShareDone as done:
        print(f"{command[0]}: {done}")


def _ways() -> list[str]:
    return [name for name in ("worker", "coordinator", "ray") if getattr(FLAGS, name)]


def _check() -> None:
    """Refuse flags that do not go together.

    Raises:
        ValueError: naming them.
    """
    if len(_ways()) > 1:
        raise ValueError(f"{', '.join(f'--{name}' for name in _ways())}: got both; give one way to share a run out")
    if "plan" in FLAGS and FLAGS.plan:
        no_effect("with --plan, which computes nothing", *_ways(), "processes", "process")
    if "play" in FLAGS and FLAGS.play:
        raise ValueError(f"--{_ways()[0]}: games are played by one process; screen --states or --prompts with several")
    if not FLAGS.coordinator:
        no_effect("without --coordinator", "process")
    if FLAGS.worker:
        no_effect("with --worker", "processes")
    if FLAGS.ray and "repair" in FLAGS and FLAGS.repair:
        raise ValueError("--repair: units are mended by whoever computes them again; repair without --ray, then go on")


def _share() -> Share:
    from causeway.engine.sweep.processes import Worker

    return Worker.read(FLAGS.worker) if FLAGS.worker else _process()


def _process() -> Share:
    from causeway.engine.mesh import mesh_sizes
    from causeway.engine.sweep.distributed import connect
    from causeway.engine.sweep.one_mesh import over_mesh

    automatic = FLAGS.coordinator == "auto"
    if not automatic:
        if FLAGS.processes is None or FLAGS.process is None:
            raise ValueError("--processes, --process: got nothing; needed beside the address of --coordinator")
        if FLAGS.process >= FLAGS.processes:
            raise ValueError(f"--process: got {FLAGS.process}; needs a number from 0 to {FLAGS.processes - 1}")
        _check_address("coordinator", _REACH_SECONDS if FLAGS.process else 0.0)
    sizes = mesh_sizes(FLAGS.mesh) if "mesh" in FLAGS and FLAGS.mesh else None
    coordinator, mesh = None if automatic else FLAGS.coordinator, "data:{},model:{}".format(*sizes) if sizes else "none"
    return over_mesh(connect(coordinator, FLAGS.processes, FLAGS.process, _leave, mesh), sizes, _leave)


def _leave(line: str, met: bool) -> None:
    interruption.leave(line, interruption.RESUMABLE if met else 2)


def _check_address(flag: str, patience: float) -> None:
    """Waits until somebody answers at the address of a flag: libraries that find nobody abort, or wait for minutes.

    Args:
        patience: seconds to wait; 0 looks at the address alone.

    Raises:
        ValueError: it is no address, or nobody answers.
    """
    address = getattr(FLAGS, flag)
    if not (found := _ADDRESS.fullmatch(address)):
        raise ValueError(f"--{flag}: got {address!r}; needs HOST:PORT, as localhost:12355, or auto")
    until = time.monotonic() + patience
    while patience:
        try:
            socket.create_connection((found[1], int(found[2])), timeout=min(5.0, patience)).close()
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() >= until:
                raise ValueError(
                    f"--{flag}: got {address}, which did not answer in {patience:.0f} s ({error}); needs the machine "
                    "and port of one that was started before, or at about the same time"
                ) from None
        time.sleep(0.5)
