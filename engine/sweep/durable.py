"""Files that are either whole or absent, whatever moment the process or the machine dies.

The order is always: write under a temporary name in the same folder, fsync the file, rename (atomic in POSIX), fsync
the folder. A reader therefore never sees half a file under a final name, and a rename that was reported done survives
a power cut. What a killed process leaves behind is a file named `.<name>.tmp`, which the next writer removes.

What the operating system refuses is told with the file that it was about: a full disk, a folder that was removed
meanwhile, a folder where a file belongs or the other way around.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 1 << 20
# TensorStore raises ValueError with the operating system's number in its text instead of an OSError.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
    """No space is left, or the quota is used up, for a file that is named."""

    def __str__(self) -> str:
        return f"{self.filename}: the disk is full; free space and run the same command again"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write; on success it becomes `path` durably, on an error it is removed.

    Raises:
        DiskFull: there is no space. FileNotFoundError: the folder is not there (any more).
        ValueError: a folder of that name is there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        if (told := _told(error, path)) is not None:
            raise told from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _told(error: OSError, path: Path) -> Exception | None:
    """What an error of writing `path` means, where that is known."""
    if is_disk_full(error):
        return DiskFull(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if path.is_dir():
        return ValueError(f"{path}: is a folder, where a file is to be written; move it away")
    if not path.parent.is_dir():
        return FileNotFoundError(f"{path.parent}: the folder is not there; was it removed while this ran?")
    return None


def make_folder(path: Path) -> None:
    """Makes a folder with those above it, if they are not there.

    Raises:
        ValueError: a file has its name, or that of one above it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(place for place in (path, *path.parents) if place.exists() or place.is_symlink())
        raise ValueError(f"{file}: is a file, where a folder is needed; move it away or name another folder") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a whole file durably, replacing an earlier one."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def reserve(path: Path, start: int) -> None:
    """Takes the space of a file's holes from byte `start` on, which must not have been written yet.

    A write into a hole of a mapped file on a full disk does not fail but kills the process (SIGBUS).

    Raises:
        OSError: there is no space.
    """
    size = path.stat().st_size
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), start, size - start)
            return
        file.seek(start)
        for left in range(size - start, 0, -_BLOCK):
            file.write(bytes(min(left, _BLOCK)))


def remove(path: Path) -> None:
    """Removes a file, if it is there, and makes the removal durable.

    Raises:
        ValueError: a folder of that name is there.
    """
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, where a file belongs; move it away")
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


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that the disk, or the quota on it, is used up."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(f"os_error_code='{code}'" in str(error) for code in _FULL)
