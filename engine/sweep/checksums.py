"""Checksums beside files that other commands read: `causeway.sha256`, in the format of the program sha256sum.

    9f86d081...  prompts.jsonl
    60303ae2...  layer_3/sums_test_top_k_values.npy

Whoever writes files for others records them here (`recorded`), and whoever reads a file reads it through `read_bytes`
or asks `check`: a file whose line does not fit is refused, one without a line is somebody's own and simply read. A line
that is deleted makes a file one's own. `sha256sum --check causeway.sha256` does the same by hand.

A file's line is taken out before the file is written and put in when it is whole, so that a killed writer leaves files
without a line, never with a wrong one.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from causeway.engine.sweep import durable
from causeway.engine.sweep.fingerprint import file_sha256

CHECKSUMS_FILE = "causeway.sha256"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
# A file's line stands beside it or in one of the folders above, this many at most.
_LEVELS = 2


@contextlib.contextmanager
def recorded(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Files written inside the block have their checksums recorded at its end.

    Args:
        folder: made where it is not there. names: of files that may be written, relative to the folder.

    Raises:
        ValueError: the folder's earlier checksums cannot be read.
    """
    names = list(names)
    durable.make_folder(folder)
    _write(folder, {name: digest for name, digest in _lines(folder) if name not in names})
    yield
    found = {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}
    _write(folder, {**dict(_lines(folder)), **found})


@contextlib.contextmanager
def written_alone(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """`recorded` for a folder that no other process writes to meanwhile.

    Raises:
        ValueError: another process does.
    """
    durable.make_folder(folder)
    with durable.exclusive(folder / durable.LOCK_FILE), recorded(folder, names):
        yield


def read_bytes(path: Path) -> bytes:
    """A file's bytes, read once and checked on the way.

    Raises:
        ValueError: the file is not the one that was recorded.
    """
    data = path.read_bytes()
    _compare(path, lambda: hashlib.sha256(data).hexdigest())
    return data


def check(path: Path) -> None:
    """Refuses a file that is not the one that was recorded; reads it only if there is a checksum of it.

    Raises:
        ValueError: naming the file and what to do.
    """
    _compare(path, lambda: file_sha256(path))


def _compare(path: Path, digest: Callable[[], str]) -> None:
    path = path.absolute()
    for folder in path.parents[: _LEVELS + 1]:
        name = path.relative_to(folder).as_posix()
        expected = {found for own, found in _lines(folder) if own == name}
        if expected and expected != {digest()}:
            raise ValueError(
                f"{path}: not the file that was written here, by its sha256 in {folder / CHECKSUMS_FILE}; if you "
                "edited it, delete its line there or copy it elsewhere, else it is damaged: remove it and make it again"
            )


def _lines(folder: Path) -> list[tuple[str, str]]:
    """(name, sha256) of each line; none where no checksums are."""
    path = folder / CHECKSUMS_FILE
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return []
    matches = [(number, _LINE.fullmatch(line)) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for number, match in matches:
        if not match:
            raise ValueError(f"{path} line {number}: damaged, not a checksum and a name; delete the line")
    return [(match[2], match[1]) for _, match in matches if match]


def _write(folder: Path, lines: dict[str, str]) -> None:
    """Lines of files that are there, sorted by name; no file for no line."""
    path = folder / CHECKSUMS_FILE
    text = "".join(f"{lines[name]}  {name}\n" for name in sorted(lines) if (folder / name).is_file())
    if text:
        durable.write_bytes(path, text.encode())
    else:
        durable.remove(path)
