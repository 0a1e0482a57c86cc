"""Tells people how a sweep goes: a bar on a terminal, plain lines otherwise, and events.jsonl for later.

At most one line each half minute of rate, disk and memory goes to events.jsonl (and, without a terminal, to stderr),
besides the start, the end and warnings. Nothing here is read back by a computation.
"""

import contextlib
import datetime
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from causeway.engine.memory import device_memory_bytes, peak_memory_bytes
from causeway.engine.progress import INTERVAL, Step, left
from causeway.engine.sweep.guard import DiskGuard
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.processes import Share

EVENTS_FILE = "events.jsonl"


class Progress:
    """Counts the rows of this process's share of a plan and reports; used from one thread."""

    def __init__(
        self,
        plan: Plan,
        workdir: Path,
        guard: DiskGuard,
        done: list[int],
        *,
        share: Share | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        share = share or Share()
        own = share.own(range(plan.units))
        self._name = f"{plan.name}, {share.name}" if share.name else plan.name
        self._of, self._of_rows = len(own), sum(plan.unit_rows[unit] for unit in own)
        # Lines of events.jsonl, which the processes of a crew share, say whose they are.
        self._who = {"process": share.name} if share.name else {}
        self._guard = guard
        self._events = workdir / EVENTS_FILE
        self._stream = stream or sys.stderr
        self._clock = clock
        self._units = len(done)
        self._rows = self._rows_before = sum(plan.unit_rows[unit] for unit in done)
        self._started = self._reported = clock()
        # What a unit computes tells nothing of its own meanwhile.
        self._step = Step(
            self._name, self._of_rows, "row", done=self._rows, bar_alone=True, stream=self._stream, clock=clock
        )
        self._step.begin()
        self._warned = False

    def unit_done(self, rows: int) -> None:
        """Counts a finished unit."""
        self._units += 1
        self._rows += rows
        self._step.advance(rows)

    def tick(self) -> None:
        """Reports if half a minute has passed since the last report; warns once when the disk fills."""
        used = self._guard.fraction()
        if used >= self._guard.warn and not self._warned:
            self._warned = True
            self.event("warning", f"disk {used:.0%} used; the sweep stops at {self._guard.stop:.0%}, resumable")
        if self._clock() - self._reported >= INTERVAL:
            self._reported = self._clock()
            self._report()

    def event(self, kind: str, message: str, **fields: Any) -> None:
        """Tells a person something, and notes it in events.jsonl."""
        self._write(kind, message=message, **fields)
        self._say(message)

    def close(self) -> None:
        """Ends the bar."""
        self._step.end()

    def _report(self) -> None:
        rate = (self._rows - self._rows_before) / max(self._clock() - self._started, 1e-9)
        rest = self._of_rows - self._rows
        figures = {
            "units": self._units,
            "rows": self._rows,
            "rows_per_second": rate,
            "seconds_left": rest / rate if rate else None,
            "disk_used": self._guard.fraction(),
            "memory_gb": peak_memory_bytes() / 1e9,
            "device_memory_gb": device_memory_bytes() / 1e9,
        }
        self._write("progress", **figures)
        if not self._step.has_bar:
            self._say(
                f"{self._units}/{self._of} units, {self._rows}/{self._of_rows} rows, {rate:.3g} rows/s, "
                f"{left(rate, rest)}, disk {figures['disk_used']:.0%}, memory {figures['memory_gb']:.2f} GB"
            )

    def _say(self, message: str) -> None:
        tqdm.write(f"{self._name}: {message}", file=self._stream)

    def _write(self, kind: str, **fields: Any) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        # A full disk must end in a clean stop; losing a log line is no reason to lose the units in flight.
        with contextlib.suppress(OSError), open(self._events, "a+b") as file:
            # A killed run may have left half a line; the next one must not continue it.
            if file.seek(0, 2) and not _ends_line(file):
                file.write(b"\n")
            file.write(json.dumps({"time": now, "event": kind, **self._who, **fields}).encode() + b"\n")


def _ends_line(file: Any) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"
