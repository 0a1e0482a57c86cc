"""A command shared out among actors of Ray, on this machine or on those of a cluster.

Every actor (`actor`) runs the same command in a process of its own, on the devices that Ray gives it, and takes its
units from one queue. An actor that is lost, with its machine or alone, is started anew where there is room, and its
units are given to whoever asks next. All machines see the workdir and the files that the command names under the same
paths.
"""

import functools
import os
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from causeway.drivers.flags import interruption
from causeway.drivers.flags.actor import Actor, Ended

# An actor that is lost more often than this stays lost: the next unit would kill it too.
_STARTS = 4
# Settings that an actor has as this process has them.
_KEPT = ("JAX_", "XLA_", "CAUSEWAY_", "HF_")
_OBJECT_STORE_BYTES = 10**8
_NONE_LEFT = "every actor was lost, time and again; what they say tells why, and the same command goes on\n"


def run(command: list[str], address: str, count: int | None) -> None:
    """Run a command in actors, and print what the one that writes the results printed.

    Args:
        command: its name and flags. address: local, auto, or of a cluster. count: of actors.

    Raises:
        ValueError: Ray is not installed, there is no such cluster, or what an actor was refused.
        SystemExit: the run stopped before its end, and goes on when it is started again.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("ray: is not installed; pip install 'causeway[ray]'") from None
    _start(ray, address)
    try:
        ended = _Actors(ray, command, count).to_end()
    finally:
        ray.shutdown()
    print(ended.said, end="")
    if ended.error:
        raise ValueError(ended.error)
    if ended.status:
        sys.exit(ended.status)


def _start(ray: Any, address: str) -> None:
    """Connects to a cluster or starts one, without Ray's own answer to SIGTERM."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    own: dict[str, Any] = {"object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address, runtime_env={"env_vars": kept}, logging_level="ERROR", **(own if address == "local" else {})
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"ray: got {address}, where no cluster answers ({error}); give local, auto or an address"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, handler)


class _Actors:
    """The actors of one run, the queue they ask, and what became of each."""

    def __init__(self, ray: Any, command: list[str], count: int | None):
        from causeway.engine.sweep.unit_queue import UnitQueue

        self._ray, self._command = ray, [word for word in command if not _of_this_process(word)]
        gpus = int(ray.cluster_resources().get("GPU", 0))
        self._count = count or gpus or len(ray.nodes())
        self._kind = ray.remote(**({"num_gpus": 1} if gpus else {"num_cpus": 1}))(Actor)
        self._queue = ray.remote(num_cpus=0)(UnitQueue).remote()
        self._crew = f"the Ray run {secrets.token_hex(4)}"
        self._starts: Counter[int] = Counter()
        self._running: dict[Any, tuple[int, Any]] = {}

    def to_end(self) -> Ended:
        """Until one has written the results, or none is left."""
        for index in range(self._count):
            self._start(index)
        ended = [Ended()]
        while self._running:
            (done,), _ = self._ray.wait(list(self._running), num_returns=1)
            index, _ = self._running.pop(done)
            if (end := self._end(done, index)) is not None and end.led:
                return end
            ended += [end] if end else []
            if end and end.error:
                print(f"{self._command[0]}: actor {index}/{self._count}: {end.error}", file=sys.stderr)
            # Everything is there, but whoever was to write the results is lost.
            if not self._running and not any(end.status for end in ended):
                self._start(0)
        worst = max(ended, key=lambda end: end.status)
        return worst if worst.status else Ended(status=interruption.RESUMABLE, said=_NONE_LEFT)

    def _start(self, index: int) -> None:
        from causeway.engine.sweep.unit_queue import Taker

        self._starts[index] += 1
        if self._starts[index] > _STARTS:
            return
        share = Taker(index, self._count, self._crew, functools.partial(_ask, self._queue))
        actor = self._kind.remote()
        self._running[actor.run.remote(self._command, str(Path.cwd()), share)] = index, actor

    def _end(self, done: Any, index: int) -> Ended | None:
        """What became of an actor's command; None where the actor is lost, which is started anew."""
        name = f"actor {index}/{self._count}"
        try:
            end = self._ray.get(done)
        except self._ray.exceptions.RayActorError:
            end = None
            print(
                f"{self._command[0]}: {name} is lost; its units go to others, and it is started anew", file=sys.stderr
            )
        if end is None or end.status:
            self._ray.get(self._queue.release.remote(name))
        if end is None:
            self._start(index)
        return end


def _ask(queue: Any, fingerprint: str, missing: Sequence[int], taker: str) -> int | None:
    import ray

    return ray.get(queue.take.remote(fingerprint, list(missing), taker))


def _of_this_process(word: str) -> bool:
    return word.lstrip("-").partition("=")[0] in ("ray", "processes")
