"""Units handed out one by one, to processes that come and go: who is fast computes more, who is lost costs little.

The queue knows which units it has given to whom. A process asks with the list of what is missing in the workdir, which
is what counts: a unit that was given and is not there yet is somebody's work, unless that one is known to be lost
(`release`); then it is given again. So the queue itself may be lost, and a run goes on with a new one.
"""

from collections import deque
from collections.abc import Callable, Sequence

from causeway.engine.sweep.processes import Share


class UnitQueue:
    """Gives out units of any plan, by its fingerprint."""

    def __init__(self) -> None:
        self._given: dict[str, dict[int, str]] = {}

    def take(self, fingerprint: str, missing: Sequence[int], taker: str) -> int | None:
        """The first missing unit that nobody works at; None where there is none now.

        Args:
            fingerprint: of the plan. missing: units that are not in the workdir. taker: who asks.
        """
        given = self._given.setdefault(fingerprint, {})
        free = next((unit for unit in missing if unit not in given), None)
        if free is not None:
            given[free] = taker
        return free

    def release(self, taker: str) -> None:
        """A process is lost: what it worked at is given again."""
        for given in self._given.values():
            for unit in [unit for unit, holder in given.items() if holder == taker]:
                del given[unit]


class Taker(Share):
    """One of `count` processes that take their units from a queue.

    Args:
        crew: in words, of all processes that ask one queue.
        ask: (fingerprint, missing units, name of this process) -> unit or None, as `UnitQueue.take`.
    """

    retakes = True

    def __init__(self, index: int, count: int, crew: str, ask: Callable[[str, Sequence[int], str], int | None]):
        super().__init__()
        self.index, self.name, self.crew, self._ask = index, f"actor {index}/{count}", crew, ask

    def take(self, fingerprint: str, pending: deque[int], missing: Callable[[], list[int]]) -> int | None:
        """The next unit that nobody works at; `pending` says by being empty that this process is to stop."""
        unit = self._ask(fingerprint, missing(), self.name) if pending else None
        if unit is None:
            pending.clear()
        return unit

    def first_of_those_running(self) -> bool:
        """Whether this is process 0, which writes results that nobody else has to write."""
        return self.index == 0
