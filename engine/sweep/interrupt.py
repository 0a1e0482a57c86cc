"""SIGINT and SIGTERM as a request: finish the units in flight, then stop. A second signal stops at once.

Stopping at once is safe too (a unit without a manifest is computed again); the first way only loses less work.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Context manager that turns the first SIGINT or SIGTERM into a flag.

    Python allows handlers in the main thread only; elsewhere this does nothing.

    Args:
        on_request: called in the handler; may only set flags.
    """

    def __init__(self, on_request: Callable[[], object]):
        self._requested = self._unannounced = ""
        self._on_request = on_request
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def unannounced(self) -> str:
        """Name of the signal that came, the first time it is asked for after that; else ""."""
        name, self._unannounced = self._unannounced, ""
        return name

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = self._unannounced = signal.Signals(number).name
        self._on_request()
