"""A command shared out among actors of Ray, on this machine or on those of a cluster.

Every actor (`actor`) runs the same command in a process of its own, on the devices that Ray gives it, and takes its
units from one queue. An actor that is lost, with its machine or alone, is started anew where there is room, and its
units are given to whoever asks next. All machines see the workdir and the files that the command names under the same
paths.
"""

import dataclasses
import functools
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from causeway.drivers.flags import interruption, ray_cluster
from causeway.drivers.flags.actor import Actor, Ended

# An actor that is lost more often than this stays lost: the next unit would kill it too.
_STARTS = 4
_ROOM_SECONDS = 60.0
_NONE_LEFT = "every actor was lost, time and again; what they say tells why, and the same command goes on\n"


def run(command: list[str], address: str, count: int | None) -> None:
    """Run a command in actors, and print what the one that writes the results printed.

    Args:
        command: its name and flags. address: local, auto, or of a cluster. count: of actors.

    Raises:
        ValueError: Ray is not installed, there is no such cluster, or what an actor was refused.
        SystemExit: the run stopped before its end, and goes on when it is started again.
    """
    ray = ray_cluster.connected(address)
    try:
        ended = _Actors(ray, command, count).to_end()
    finally:
        ray.shutdown()
    print(ended.said, end="")
    if ended.error:
        raise ValueError(ended.error)
    if ended.status:
        sys.exit(ended.status)


class _Actors:
    """The actors of one run, the queue they ask, and what became of each."""

    def __init__(self, ray: Any, command: list[str], count: int | None):
        from causeway.engine.sweep.unit_queue import UnitQueue

        self._ray, self._command = ray, [word for word in command if not _of_this_process(word)]
        gpus = int(ray.cluster_resources().get("GPU", 0))
        self._count = count or gpus or len(ray.nodes())
        self._needs = "GPU" if gpus else "CPU"
        self._kind = ray.remote(**({"num_gpus": 1} if gpus else {"num_cpus": 1}))(Actor)
        self._queue = ray.remote(num_cpus=0)(UnitQueue).remote()
        self._crew = f"the Ray run {secrets.token_hex(4)}"
        self._starts: Counter[int] = Counter()
        # By the reference of its end: its number, the actor, a reference that is there once the actor is.
        self._running: dict[Any, tuple[int, Any, Any]] = {}
        self._told: set[str] = set()

    def to_end(self) -> Ended:
        """Until one has written the results, or none is left."""
        for index in range(self._count):
            self._start(index)
        ended = [Ended()]
        while self._running:
            done = self._next_end()
            index, *_ = self._running.pop(done)
            if (end := self._end(done, index)) is not None and end.led:
                return end
            # An error that is alone is raised at the end; others are told as they come, each once.
            if end and (self._running or any(before.status for before in ended)):
                self._tell(end.error, index)
            ended += [end] if end else []
            # Everything is there, but whoever was to write the results is lost.
            if not self._running and not any(end.status for end in ended):
                self._start(0)
        worst = max(ended, key=lambda end: end.status)
        if worst.error in self._told:
            return dataclasses.replace(worst, error="")
        return worst if worst.status else Ended(status=interruption.RESUMABLE, said=_NONE_LEFT)

    def _next_end(self) -> Any:
        """Of an actor, as soon as there is one; says once a minute that none could begin, if so."""
        while not (done := self._ray.wait(list(self._running), num_returns=1, timeout=_ROOM_SECONDS)[0]):
            ready = [reference for _, _, reference in self._running.values()]
            if not self._ray.wait(ready, num_returns=1, timeout=0)[0]:
                self._say(f"no actor has room yet: each needs a {self._needs}, and others use those of the cluster")
        return done[0]

    def _tell(self, error: str, index: int) -> None:
        if error and error not in self._told:
            self._told.add(error)
            self._say(f"actor {index}/{self._count}: {error}")

    def _say(self, line: str) -> None:
        print(f"{self._command[0]}: {line}", file=sys.stderr)

    def _start(self, index: int) -> None:
        from causeway.engine.sweep.unit_queue import Taker

        self._starts[index] += 1
        if self._starts[index] > _STARTS:
            return
        share = Taker(index, self._count, self._crew, functools.partial(_ask, self._queue))
        actor = self._kind.remote()
        ready = actor.__ray_ready__.remote()
        self._running[actor.run.remote(self._command, str(Path.cwd()), share)] = index, actor, ready

    def _end(self, done: Any, index: int) -> Ended | None:
        """What became of an actor's command; None where the actor is lost, which is started anew."""
        name = f"actor {index}/{self._count}"
        try:
            end = self._ray.get(done)
        except self._ray.exceptions.RayActorError:
            end = None
            self._say(f"{name} is lost; its units go to others, and it is started anew")
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
