"""SIGINT and SIGTERM as a request: finish the work in flight, then stop. A second signal stops at once.

Stopping at once is safe too (what was not committed is computed again); the first way only loses less. So work that
takes longer than a few seconds is not waited for either: `overdue` says when.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long work in flight is waited for: a person who stops a command wants it to stop.
GRACE_SECONDS = 3.0


class Stopped(KeyboardInterrupt):
    """A run was stopped by a signal where the same command goes on; the message says how far it had come."""


class Interrupt:
    """Context manager that turns the first SIGINT or SIGTERM into a flag.

    Python allows handlers in the main thread only; elsewhere this does nothing.

    Args:
        on_request: called in the handler; may only set flags.
    """

    def __init__(self, on_request: Callable[[], object] = lambda: None):
        self._requested = self._unannounced = ""
        self._since = 0.0
        self._on_request = on_request
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return bool(self._requested)

    @property
    def overdue(self) -> bool:
        """Whether a signal came so long ago that work in flight is not waited for any more."""
        return self.requested and time.monotonic() - self._since > GRACE_SECONDS

    def unannounced(self) -> str:
        """Name of the signal that came, the first time it is asked for after that; else ""."""
        name, self._unannounced = self._unannounced, ""
        return name

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._since = time.monotonic()
        self._requested = self._unannounced = signal.Signals(number).name
        self._on_request()
