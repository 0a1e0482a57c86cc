"""Files that are either whole or absent, whatever moment the process or the machine dies.

The order is always: write under a temporary name in the same folder, fsync the file, rename (atomic in POSIX), fsync
the folder. A reader therefore never sees half a file under a final name, and a rename that was reported done survives
a power cut. What a killed process leaves behind is a file named `.<name>.tmp`, which the next writer removes.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

# TensorStore raises ValueError with the operating system's number in its text instead of an OSError.
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write; on success it becomes `path` durably, on an error it is removed."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a whole file durably, replacing an earlier one."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def remove(path: Path) -> None:
    """Removes a file, if it is there, and makes the removal durable."""
    if path.exists():
        path.unlink()
        sync(path.parent)


def sync(path: Path) -> None:
    """Fsyncs a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(path: Path, root: Path) -> None:
    """Fsyncs every folder from the one that holds `path` up to `root`: new folders are entries of their parents."""
    for folder in path.parents:
        sync(folder)
        if folder == root:
            return


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed writer left under temporary names, directly in `folder`."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds the lock file `path`; the operating system frees it when the process dies, however it dies.

    Raises:
        ValueError: another live process holds it.
    """
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                f"workdir {path.parent}: in use by process {file.read().strip()}; wait for it or use another --workdir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that the disk, or the quota on it, is used up."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(f"os_error_code='{code}'" in str(error) for code in _FULL)
