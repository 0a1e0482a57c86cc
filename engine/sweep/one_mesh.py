"""Processes whose devices make one mesh: a model may be larger than what the devices of one process hold.

Each program is run by all processes at once, each with its own devices, so all of them compute every unit, in one
order. Process 0 says which unit comes next, as processes see a signal or a full disk at different moments; each commits
the units that fall to its number. What is read of the results is brought to every process (`engine.gathered`).

A process that is lost leaves the others in a program that never ends, or ends in an error of the network. So each
watches the others, and where one does not run any more, leaves with a line that says so. What is committed stays, and
the same commands go on, on this mesh or on another of as many places along `model`.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from causeway.engine.mesh import lies_apart, make_mesh
from causeway.engine.sweep.distributed import LOST_SECONDS, Process
from causeway.engine.sweep.plan import Plan

_WATCH_SECONDS = 1.0
# Between two looks for the number of the next unit.
_NEXT_SECONDS = 0.02
_NONE = "none"


def over_mesh(own: Process, sizes: tuple[int, int] | None, aborted: Callable[[str, bool], object]) -> Process:
    """The process as one of those that compute together, where the mesh lies over all of them; else as it is.

    Args:
        sizes: places along `data` and `model`; None without a mesh. aborted: see `distributed.connect`.

    Raises:
        ValueError: see `make_mesh`.
    """
    if sizes is None or not lies_apart(make_mesh(*sizes)):
        return own
    return OneMesh(own, aborted)


class OneMesh(Process):
    """One of these processes.

    Args:
        own: the process that it is. aborted: ends this process with a line; see `distributed.connect`.
    """

    def __init__(self, own: Process, aborted: Callable[[str, bool], object]):
        super().__init__(own.index, own.count, own.client, own.address)
        self._aborted = aborted
        self._taken = 0

    def own(self, units: Sequence[int]) -> list[int]:
        """All of them."""
        return list(units)

    def commits(self, unit: int) -> bool:
        """Each count-th."""
        return unit % self.count == self.index

    def agree(self, plan: Plan) -> None:
        """See `Process.agree`."""
        super().agree(plan)
        self._taken = 0

    def ready(self) -> None:
        """Waits for the others: process 0 then looks which units are missing, and nobody removes one any more."""
        self.client.key_value_set(f"ready/{self._phase}/{self.index}", "")
        for other in range(self.count):
            self.awaited(f"ready/{self._phase}/{other}", other, "it was ready")

    def take(self, fingerprint: str, pending: deque[int], missing: Callable[[], list[int]]) -> int | None:
        """The next unit, of those that are pending in process 0."""
        place = f"unit/{self._phase}/{self._taken}"
        self._taken += 1
        if self.index == 0:
            self.client.key_value_set(place, str(pending.popleft()) if pending else _NONE)
        unit = self.awaited(place, 0, "it said which unit is next", _NEXT_SECONDS)
        if unit != _NONE:
            return int(unit)
        pending.clear()
        return None

    @contextlib.contextmanager
    def present(self, folder: Path) -> Iterator[None]:
        """See `Process.present`; watches the others meanwhile."""
        over = threading.Event()
        with super().present(folder):
            # Not before: where the meeting is refused, each says why, and nobody is lost.
            threading.Thread(target=self._watch, args=(over,), daemon=True).start()
            try:
                yield
            except jax.errors.JaxRuntimeError:
                # A transfer breaks before the process at its other end is known to be lost.
                self._leave_if_lost(time.monotonic() + LOST_SECONDS)
                raise
            finally:
                over.set()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_WATCH_SECONDS):
            self._leave_if_lost()

    def _leave_if_lost(self, until: float = 0.0) -> None:
        while not (lost := self.lost()) and time.monotonic() < until:
            time.sleep(_WATCH_SECONDS)
        if lost:
            names = ", ".join(map(self.name_of, lost))
            self._aborted(
                f"{names}, without which nothing can be computed on this mesh, ended or is lost; finished units stay: "
                "start all processes again to resume",
                True,
            )
