"""Folders that are either whole or absent under their name, whatever moment the process or the machine dies.

The files are written into a folder beside it, NAME.partial, which takes the name in one rename when all of them are on
disk. Where there is something under the name already, what is not replaced is linked into the new folder first, and the
old one steps aside: for an instant nothing stands under the name, and a process that dies then leaves the old folder
as .NAME.replaced, which the next writer puts back.

One process at a time writes a folder.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from causeway.engine.sweep import durable, locks


@contextlib.contextmanager
def replacing_folder(
    folder: Path | str, replaced: Callable[[Path], bool] = lambda entry: False, *, resume: bool = False
) -> Iterator[Path]:
    """Gives a folder to write into, which becomes `folder` durably; after an error it is removed.

    Args:
        folder: the final name; parents are made. What is there already and was not written anew stays,
        replaced: but for its entries that this says yes to.
        resume: an interrupted writer's files are given back instead of an empty folder, and an error leaves them.

    Raises:
        ValueError: another process is writing this folder, or it is where this process works.
        OSError: a full disk among others.
    """
    folder = Path(os.path.realpath(folder))
    if Path.cwd().is_relative_to(folder):
        raise ValueError(f"{folder}: is replaced as a whole, but is the current directory; name another directory")
    partial = folder.with_name(f"{folder.name}.partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        put_back(folder)
        if not resume:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        try:
            yield partial
            _commit(partial, folder, replaced)
        finally:
            if not resume:
                shutil.rmtree(partial, ignore_errors=True)


def put_back(folder: Path) -> None:
    """Undo a replacement that was killed between its two renames, and clear up after one that was killed later."""
    old = _aside(folder)
    if old.exists() and not folder.exists():
        os.replace(old, folder)
        durable.sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Fsync every file and folder of a folder, and itself last."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):
            durable.sync(path)
    durable.sync(folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = folder.with_name(f".{folder.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.exclusive(lock))
        except ValueError:
            raise ValueError(
                f"{folder}: another process is writing it; wait for it or name another directory"
            ) from None
        yield


def _commit(partial: Path, folder: Path, replaced: Callable[[Path], bool]) -> None:
    there = list(folder.iterdir()) if folder.exists() else []
    for entry in there:
        if not replaced(entry) and not (partial / entry.name).exists():
            _link(entry, partial / entry.name)
    sync_tree(partial)
    if there:
        os.replace(folder, _aside(folder))
    os.replace(partial, folder)
    durable.sync(folder.parent)
    shutil.rmtree(_aside(folder), ignore_errors=True)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _link(entry: Path, target: Path) -> None:
    """A second name for a file or for all files of a folder; a copy where the disk knows no links."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.copytree(entry, target, symlinks=True, copy_function=_link_file)
    else:
        _link_file(entry, target)


def _link_file(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
