"""How far a longer step is: a bar on a terminal, a line every half minute elsewhere, nothing of what takes two seconds.

    with Step("prompts read", len(prompts), "prompt") as step:
        for batch in batches:
            ...
            step.advance(len(batch))

A step inside another is silent, also in another thread, because the outer one tells of the whole. While nothing is
advanced, as in a compilation, a thread goes on telling the time. A step of a generator that an error leaves half taken,
as a traceback keeps it, is over when the function that took its items is. `TQDM_DISABLE=1` silences all. Nothing here
is read back by a computation.
"""

import datetime
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import FrameType
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from causeway.engine.memory import device_memory_bytes

# Seconds before a step is told of, and between two lines.
DELAY, INTERVAL = 2.0, 30.0
# Seconds between two looks at a bar that nobody advances.
_REFRESH = 1.0
_Item = TypeVar("_Item")
_open: list["Step"] = []


class Step:
    """A count of what is done; used from one thread."""

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        *,
        done: int = 0,
        bar_alone: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """A step that is not begun.

        Args:
            what: what is counted, for people. total: how much there is. unit: of it, in the singular; "B" are bytes.
            done: how much of it was there before. bar_alone: a bar from the beginning, which stays when it is
            over, and no lines, which who asks writes. stream: where it is told; default: stderr.
        """
        self._what, self._total, self._unit, self._done, self._before = what, total, unit, done, done
        self._stream, self._clock, self._bar_alone = stream or sys.stderr, clock, bar_alone
        self._bar: tqdm | None = None
        self._silent = False
        self._over = threading.Event()
        self._taker: int | None = None
        self._started = self._told = clock()

    @property
    def has_bar(self) -> bool:
        """Whether a bar tells how far it is, so that lines need not."""
        return self._bar is not None

    def begin(self) -> None:
        """Begin: the step is silent where another is open."""
        for step in [one for one in _open if one._is_left]:
            step.end()
        self._silent = bool(_open) or bool(os.environ.get("TQDM_DISABLE"))
        _open.append(self)
        self._started = self._told = self._clock()
        if not self._silent and self._stream.isatty():
            self._bar = tqdm(
                total=self._total, initial=self._done, unit=self._unit, unit_scale=self._unit == "B", desc=self._what,
                file=self._stream, delay=0 if self._bar_alone else DELAY, dynamic_ncols=True, leave=self._bar_alone,
            )  # fmt: skip
        if not self._silent:
            threading.Thread(target=self._go_on, daemon=True).start()

    def end(self) -> None:
        """End, with whatever was done; again does nothing."""
        self._over.set()
        if self in _open:
            _open.remove(self)
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> "Step":
        """Begin."""
        self._taker = _taker_of(sys._getframe(1))
        self.begin()
        return self

    def __exit__(self, *_: Any) -> None:
        """End."""
        self.end()

    def advance(self, count: int = 1) -> None:
        """Count some more as done."""
        self._done += count
        if self._bar is not None:
            if memory := device_memory_bytes():
                self._bar.set_postfix_str(f"device {memory / 1e9:.1f} GB", refresh=False)
            self._bar.update(count)
        else:
            self._tell_if_due()

    @property
    def _is_left(self) -> bool:
        """Whether it is of a generator whose items nobody takes any more."""
        return self._taker is not None and self._taker not in _running()

    def _go_on(self) -> None:
        """Of a thread of its own: tell while nothing is advanced."""
        wait = DELAY
        while not self._over.wait(wait):
            wait = _REFRESH
            if self._is_left:
                self.end()
            elif self._bar is not None:
                self._bar.refresh()
            else:
                self._tell_if_due()

    def _tell_if_due(self) -> None:
        if not (self._silent or self._bar_alone) and self._clock() - self._told >= INTERVAL:
            self._told = self._clock()
            print(self._line(), file=self._stream, flush=True)

    def _line(self) -> str:
        seconds = self._told - self._started
        rate = (self._done - self._before) / seconds if seconds > 0 else 0.0
        of_bytes = self._unit == "B"
        done, total = (f"{n / 1e9:.2f} GB" if of_bytes else f"{n:,}" for n in (self._done, self._total))
        speed, units = (f"{rate / 1e9:.2f} GB", "") if of_bytes else (f"{rate:.3g}", f" {_plural(self._unit)}")
        return f"{self._what}: {done} of {total}{units}, {speed} a second, {left(rate, self._total - self._done)}"


def _taker_of(frame: FrameType) -> int | None:
    """Of a generator's frame the id of the function's that takes its items, else None.

    The frame itself would keep its arrays. While a traceback keeps it, no other has its id.
    """
    taker: FrameType | None = frame
    while taker is not None and taker.f_code.co_flags & inspect.CO_GENERATOR:
        taker = taker.f_back
    return None if taker is None or taker is frame else id(taker)


def _running() -> set[int]:
    """The ids of all frames that run, of all threads."""
    found = set()
    for frame in sys._current_frames().values():
        at: FrameType | None = frame
        while at is not None:
            found.add(id(at))
            at = at.f_back
    return found


def _plural(unit: str) -> str:
    return f"{unit}es" if unit.endswith("s") else f"{unit}s"


def each(what: str, items: Iterable[_Item], unit: str, total: int | None = None) -> Iterator[_Item]:
    """The items of a loop, told of as they are taken.

    Args:
        what, unit: see `Step`. items: what is looped over. total: how many there are, where `items` has no length.
    """
    with Step(what, len(items) if isinstance(items, Sized) else total or 0, unit) as step:
        for item in items:
            yield item
            step.advance()


def left(rate: float, rest: float) -> str:
    """How long the rest takes at this rate, in words."""
    return f"{datetime.timedelta(seconds=round(rest / rate))} left" if rate > 0 else "time left unknown"
