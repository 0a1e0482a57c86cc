"""The fingerprint of what was loaded from files, computed when it is first asked for.

It is over the configuration as understood and the bytes of the weight files, so it names the function computed and
not where the files lay. Hashing reads every byte once more, which most runs never need; until then the files are
known by size, time of last change and inode, and a file that is another by then is refused: its hash would not be
that of the weights in memory.

Cost: one reading of the files, once.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class FileFingerprint:
    """A function without arguments that gives the fingerprint, and remembers it.

    Make it before the files are read, so that a change during the reading is noticed too.
    """

    def __init__(self, config: Any, files: Sequence[Path]):
        """Note what the files are.

        Args:
            config: a dataclass of plain values. files: what is read.
        """
        self._config = dataclasses.asdict(config)
        self._stamps = {file: _stamp(file) for file in files}

    def __call__(self) -> str:
        """The sha256 in hexadecimal digits.

        Raises:
            ValueError: a file changed since it was loaded.
        """
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        digests = {}
        for file in self._stamps:
            self._check(file)
            with file.open("rb") as stream:
                digests[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
            self._check(file)
        content = json.dumps({"config": self._config, "files": digests}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def _check(self, file: Path) -> None:
        if _stamp(file) != self._stamps[file]:
            raise ValueError(
                f"{file}: has changed since it was loaded, so its fingerprint is not the model's; load again"
            )


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Size, time of last change and inode; None for a file that is gone."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
