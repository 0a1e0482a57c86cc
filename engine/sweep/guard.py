"""Watches the disk a sweep writes to: refuses what cannot fit, warns, and stops it while it can still stop cleanly.

The fraction used is 1 - free / total, free being what this user may still write (reserved blocks count as used).
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """Bytes of a disk, as `shutil.disk_usage` gives them."""

    total: int
    used: int
    free: int


def disk_usage(path: Path) -> Usage:
    """Usage of the disk that holds `path`, or would hold it once made; it may be removed meanwhile.

    Raises:
        FileNotFoundError: nothing of the path is there.
    """
    for place in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return Usage(*shutil.disk_usage(place))
    raise FileNotFoundError(f"{path}: nothing of this path is there")


@dataclasses.dataclass(frozen=True)
class DiskGuard:
    """Limits on the fraction of a disk that may be used.

    Attributes:
        path: a place on the disk; need not exist yet.
        warn: fraction from which the person is warned, once.
        stop: fraction from which no new unit starts.
        usage: reads the disk; replaced in tests.
    """

    path: Path
    warn: float = 0.8
    stop: float = 0.95
    usage: Callable[[Path], Usage] = disk_usage

    def __post_init__(self):
        if not 0 < self.warn <= self.stop <= 1:
            raise ValueError(f"disk guard: got warn={self.warn}, stop={self.stop}; give 0 < warn <= stop <= 1")

    def fraction(self) -> float:
        """Fraction of the disk in use, 0 to 1."""
        usage = self.usage(self.path)
        return 1 - usage.free / usage.total

    def available(self) -> int:
        """Bytes that may be written before the guard stops a sweep; negative when it already would."""
        usage = self.usage(self.path)
        return usage.free - round((1 - self.stop) * usage.total)

    def require(self, needed: int, what: str) -> None:
        """Refuses up front what will not fit.

        Raises:
            ValueError: `needed` bytes are more than are available below the stop fraction.
        """
        available = self.available()
        if needed > available:
            raise ValueError(
                f"workdir {self.path}: {what} needs {needed / 1e9:.3g} GB, {available / 1e9:.3g} GB are free below "
                f"{self.stop:.0%} of the disk; free space, record less, or use another --workdir"
            )
