"""The other processes of a crew: waiting for their units, telling which are lost.

A process that has computed its own units looks once a second whether all are there. As long as those that are missing
belong to processes that run, it waits, and says once a minute for what. Where nothing happens any more (no unit comes,
and a process that has missing ones does not run), it gives up after `LOST_SECONDS`: the run is resumable. While it
still computes it looks less often, and says once that a process is lost which ran before.
"""

import time
from collections.abc import Callable

from causeway.engine.sweep.processes import Share
from causeway.engine.sweep.progress import Progress

LOST_SECONDS = 45.0
_REPORT_SECONDS, _SHORT_SECONDS = 60.0, 5.0
_WATCH_SECONDS = 15.0


class Others:
    """What one process knows of the others during one sweep.

    Args:
        share: of this process. progress: where it is told.
    """

    def __init__(self, share: Share, progress: Progress, clock: Callable[[], float] = time.monotonic):
        self._share, self._progress, self._clock = share, progress, clock
        self._missing: list[int] | None = None
        self._since = self._watched = clock()
        self._running: set[str] = set()
        # The first word after some seconds: most waits are short.
        self._told = clock() - _REPORT_SECONDS + _SHORT_SECONDS

    def watch(self, missing: Callable[[], list[int]]) -> None:
        """Says of processes that ran and do not any more that they are lost, with units missing.

        Args:
            missing: gives the units that are not there now.
        """
        if self._share.alone or self._clock() - self._watched < _WATCH_SECONDS:
            return
        self._watched, units = self._clock(), missing()
        lacking = set(self._share.lacking(units))
        if gone := sorted(lacking & self._running):
            self._progress.event("lost", f"{_who(gone)} not run any more and left units missing; this one goes on")
        self._running = set(self._share.having(units)) - lacking

    def lost(self, missing: list[int]) -> bool:
        """Whether there is nothing to wait for any more, said once; otherwise says from time to time what is awaited.

        Args:
            missing: units that are not there now.
        """
        now, lacking = self._clock(), self._share.lacking(missing)
        if missing != self._missing or not lacking:
            self._missing, self._since = missing, now
        if lacking and now - self._since >= LOST_SECONDS:
            self._progress.event("lost", f"{_count(missing)}, and {_who(lacking)} not run; start what is not running")
            return True
        if now - self._told >= _REPORT_SECONDS:
            self._told = now
            state = f"; {_who(lacking)} not run" if lacking else ", which run"
            self._progress.event("waiting", f"waiting for {len(missing)} units of other processes{state}")
        return False


def _count(units: list[int]) -> str:
    return f"{len(units)} unit{'s are' if len(units) > 1 else ' is'} missing"


def _who(names: list[str]) -> str:
    return f"{', '.join(names)} {'do' if len(names) > 1 else 'does'}"
