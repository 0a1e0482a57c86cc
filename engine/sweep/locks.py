"""Locks on folders that several processes may want to write to: files held by `flock`.

The system frees a lock when its process dies, however it dies. The file says in words who holds it, for the message of
whoever is refused. `exclusive` is held by one process at a time. `shared` is held by all processes of one crew at once
(see `sweep.processes`), and neither by two crews nor beside an exclusive holder.

A lock file is removed by its last holder; one that a killed process left is taken over by the next.
"""

import contextlib
import errno
import fcntl
import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LOCK_FILE = ".lock"
_LONGEST_TEXT = 200
_RETRY_SECONDS, _LEAVING_SECONDS = 0.02, 1.0
_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextlib.contextmanager
def exclusive(path: Path, patience: float = 0.0) -> Iterator[Callable[[], bool]]:
    """Holds the lock file `path`, made and removed here.

    Args:
        patience: seconds to wait for another holder.

    Yields:
        A function that tells whether the file held is still there under its name, and so its folder.

    Raises:
        ValueError: another live process holds it, or it is not a file.
    """
    until = time.monotonic() + patience
    while True:
        with _opened(path) as (descriptor, there):
            # Its last holder may remove the file between our opening and locking it.
            if _locked(path, descriptor, fcntl.LOCK_EX) and there():
                _write(descriptor, f"process {os.getpid()}")
                try:
                    yield there
                finally:
                    if there():
                        path.unlink()
                return
            holder = _holder(descriptor)
        if time.monotonic() >= until:
            raise _in_use(path, holder)
        time.sleep(_RETRY_SECONDS)


@contextlib.contextmanager
def shared(path: Path, crew: str) -> Iterator[tuple[Callable[[], bool], bool]]:
    """Holds the lock file `path` together with other processes of one crew; they may enter one at a time.

    Args:
        crew: in words, equal for those that may hold it together.

    Yields:
        A function as of `exclusive`, and whether this process is the first that holds it.

    Raises:
        ValueError: a process that is not of this crew holds it, or it is not a file.
    """
    until = time.monotonic() + _LEAVING_SECONDS
    while True:
        with _opened(path) as (descriptor, there):
            first = _locked(path, descriptor, fcntl.LOCK_EX)
            if first:
                _write(descriptor, crew)
            held = _locked(path, descriptor, fcntl.LOCK_SH)
            if (holder := _holder(descriptor)) != crew or (not held and time.monotonic() >= until):
                raise _in_use(path, holder)
            if held and there():
                try:
                    yield there, first
                finally:
                    # Where others hold it this fails, and gives up what is given up anyway.
                    if _locked(path, descriptor, fcntl.LOCK_EX) and there():
                        path.unlink()
                return
        # One of this crew that leaves holds it alone for an instant.
        time.sleep(_RETRY_SECONDS)


def is_held(path: Path) -> bool:
    """Whether a live process holds the lock file."""
    try:
        with open(path, "rb") as file:
            return not _locked(path, file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[int, Callable[[], bool]]]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, where a lock file belongs; remove it") from None
    try:
        yield descriptor, functools.partial(_is_file, path, descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path, descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNKNOWN:
            raise ValueError(
                f"{path}: its disk knows no locks (flock: {error.strerror}); name a folder on another"
            ) from None
        raise
    return True


def _write(descriptor: int, holder: str) -> None:
    with contextlib.suppress(OSError):  # for people; a full disk is told by what is written next
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder}\n".encode(), 0)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, _LONGEST_TEXT, 0).decode(errors="replace").strip() or "another process"


def _in_use(path: Path, holder: str) -> ValueError:
    return ValueError(f"{path.parent}: in use by {holder}; wait for it, or name another folder")


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
