"""The page of a folder that is being written: made again when the folder has changed, and only then.

Whether it has is told by the names, sizes and times of its files, which cost a listing. While a sweep writes a unit
every few moments the page is not made for each: making it takes at most a tenth of a core (`REST`, of processor time),
so that who looks takes little from what computes. What cannot be read, because it is half written, leaves the page
that was there, with a note.
"""

import dataclasses
import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from causeway.ports.pages.page import encoded, render
from causeway.ports.pages.section import Missing, Section

# Seconds between listings; the rest after a page was made, in multiples of its processor time, and the longest rest.
EVERY, REST, LONGEST = 1.0, 9.0, 20.0
# Arrays are large folders of small files, which change together with the units beside them.
_UNSEEN = (".zarr", ".partial")


def changes(folder: Path) -> str:
    """A digest of the names, sizes and times of all files in a folder, other than those of arrays."""
    digest = hashlib.sha256()
    for here, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.endswith(_UNSEEN))
        for name in sorted(files):
            place = os.path.join(here, name)
            try:
                found = os.stat(place)
            except OSError:
                continue
            digest.update(f"{place}\0{found.st_size}\0{found.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Shown:
    """A page as it is sent: a name that no other state of it has, and its bytes."""

    version: str
    content: bytes


class LivePage:
    """The page of a folder, as new as its files.

    Args:
        folder: that is looked at.
        find: reads it and gives the sections of the page.
        title: of the page. made: by what, for the foot of the page.
    """

    def __init__(self, folder: Path, find: Callable[[], Sequence[Section]], title: str, made: str) -> None:
        self._folder, self._find, self._title, self._made = folder, find, title, made
        self._making = threading.Lock()
        self._sections: Sequence[Section] = [Section("Nothing to show yet", "nothing", [Missing("No results yet.")])]
        self._seen, self._next, self._shown = "", 0.0, Shown("", b"")

    def now(self) -> Shown:
        """The page, made again first where the folder has changed; the one before while somebody else is making it."""
        if self._making.acquire(blocking=not self._seen):
            try:
                self._look()
            finally:
                self._making.release()
        return self._shown

    def _look(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next, seen = time.monotonic() + EVERY, changes(self._folder)
        if seen == self._seen:
            return
        began, first = time.thread_time(), not self._seen
        self._shown, self._seen = Shown(seen, self._newest(seen)), seen
        # The first time is longer than any other, since modules are imported.
        rest = 0.0 if first else min(REST * (time.thread_time() - began), LONGEST)
        self._next = max(self._next, time.monotonic() + rest)

    def _newest(self, version: str) -> bytes:
        """The page of what can be read and drawn now; else of what could last, with a note."""
        try:
            sections = self._find()
            content = self._page(sections, version)
        # What is half written may break a reader in any way, and a server goes on.
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            note = f"The folder could not be read at {_clock()}: {said}. Below is what could be read last."
            return self._page(self._sections, version, note)
        self._sections = sections
        return content

    def _page(self, sections: Sequence[Section], version: str, note: str = "") -> bytes:
        return encoded(render(sections, self._title, f"{self._made}; read at {_clock()}", live=version, note=note))


def _clock() -> str:
    return f"{datetime.now():%H:%M:%S}"
