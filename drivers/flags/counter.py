"""A count of what is done of a longer step, for people: in place on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable

_SECONDS = 10.0


def counter(what: str) -> Callable[[int, int], None]:
    """A function to call with (done, total) whenever some is done; it writes `what: 3 of 8` to stderr."""
    started = told = time.monotonic()

    def count(done: int, total: int) -> None:
        nonlocal told
        now, line = time.monotonic(), f"{what}: {done} of {total}"
        if sys.stderr.isatty():
            print(f"\r{line}", end="" if done < total else "\n", file=sys.stderr, flush=True)
        elif now - told >= _SECONDS:
            told = now
            left = (now - started) / done * (total - done)
            print(f"{line}, about {left:.0f} s left", file=sys.stderr, flush=True)

    return count
