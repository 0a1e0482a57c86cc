"""The errors of foreign parsers, and of values of the wrong kind in foreign files, made ours at one place.

A parser that is given a damaged or hostile file raises whatever it likes: RecursionError, NotImplementedError,
KeyError, a panic of a library in Rust (which is no `Exception` at all). Two context managers turn that into one line
that names the file:

    parsing        around a call of a foreign parser, in which nothing of ours runs: every error is the file's
    interpreting   around a reader of ours that takes a parsed file apart: what wrong kinds of values raise is the
                   file's; ValueErrors and OSErrors of the reader are lines already and pass

Neither wraps a computation. The original error stays as the cause, so that --traceback shows where it arose.
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

# What indexing into, iterating over and computing with values of the wrong kind or size raises.
WRONG_KINDS = (
    TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, NotImplementedError, MemoryError,
)  # fmt: skip
SHOWN = 200


@contextlib.contextmanager
def parsing(path: Path | str, what: str, advice: str = "download it again") -> Iterator[None]:
    """Run a foreign parser on a file.

    Args:
        path: the file, or (as text) the place in it. what: what it should be, "Parquet file".
        advice: what to do otherwise.

    Raises:
        ValueError: whatever the parser raises.
        OSError: the system could not read the file.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # panics of Rust libraries are no Exceptions
        if _of_the_system(error):
            raise
        size = f"; {path.stat().st_size} bytes on disk" if isinstance(path, Path) and path.is_file() else ""
        raise ValueError(f"{path}: not a readable {what} ({reason(error)}{size}); {advice}") from error


@contextlib.contextmanager
def interpreting(path: Path | str, what: str, advice: str = "download it again") -> Iterator[None]:
    """Take a parsed file apart; arguments as `parsing`.

    Raises:
        ValueError: a value in the file is of a kind or size that the reader cannot work with.
    """
    try:
        yield
    except WRONG_KINDS as error:
        raise ValueError(f"{path}: not a readable {what} ({reason(error)}); {advice}") from error


def reason(error: BaseException) -> str:
    """An error's own words in one short line; its type where words alone say nothing."""
    words = " ".join(str(error).split())
    if len(words) > SHOWN:
        words = words[:SHOWN] + "..."
    if isinstance(error, ValueError | OSError) and words:
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _of_the_system(error: BaseException) -> bool:
    """Whether the system failed, not the parser: parsers raise OSErrors without a number, or seek to nowhere."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


LFS_HEAD = b"version https://git-lfs"


def check_file(path: Path, most: int | None = None, missing: str = "") -> int:
    """The size of a file in bytes, known to be one that can be parsed.

    A git-LFS pointer is the short text that stands in the place of a file whose download was skipped.

    Args:
        path: the file. most: the largest size that is read; None for any.
        missing: what to do where there is no such file, for the error line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a plain file, larger than what is read, or a git-LFS pointer.
    """
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give one of its files")
    if not path.is_file():
        kind = "is not a plain file" if path.exists() else "no such file"
        raise FileNotFoundError(f"{path}: {kind}{missing and '; '}{missing}")
    size = path.stat().st_size
    if most is not None and size > most:
        raise ValueError(f"{path}: has {size} bytes; files of this kind are read up to {most} bytes")
    with path.open("rb") as file:
        if file.read(len(LFS_HEAD)) == LFS_HEAD:
            raise ValueError(f"{path}: a git-LFS pointer, not the file itself; run `git lfs pull` in its repository")
    return size
