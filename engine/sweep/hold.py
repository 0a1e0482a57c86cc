"""A workdir held for writing, by one process or by all processes of one crew.

Members of a crew write their own units without regard to each other. What is of all units (the plan, metadata of
arrays, the merged table) each of them writes in its `turn`.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from causeway.engine.sweep import locks

_TURN = ".turn.lock"
# The longest turn is the merging of a large table.
_TURN_SECONDS = 3600.0


class Hold:
    """A hold on a workdir; making the object touches no file.

    Args:
        workdir: which is there. crew: of this process (`sweep.processes`); "" where it is alone.
    """

    def __init__(self, workdir: Path, crew: str = ""):
        self._workdir, self._crew = workdir, crew
        self._there: Callable[[], bool] = lambda: True

    def __call__(self) -> bool:
        """Whether what is held is still there, and so the workdir."""
        return self._there()

    @contextlib.contextmanager
    def taken(self) -> Iterator[bool]:
        """Keeps out whoever is not of the crew. To be entered in a turn.

        Yields:
            Whether nobody else writes here now.

        Raises:
            ValueError: somebody who is not of the crew does.
        """
        lock = self._workdir / locks.LOCK_FILE
        if self._crew:
            with locks.shared(lock, self._crew) as (self._there, first):
                yield first
        else:
            with locks.exclusive(lock) as self._there:
                yield True

    def turn(self) -> contextlib.AbstractContextManager:
        """Holds off the others of the crew."""
        if not self._crew:
            return contextlib.nullcontext()
        return locks.exclusive(self._workdir / _TURN, _TURN_SECONDS)
