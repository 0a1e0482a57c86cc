"""Checksums of files that are read again: `causeway.sha256` beside them, in the format of the program sha256sum.

    9f86d081...  prompts.jsonl
    60303ae2...  layer_3/sums_test_top_k_values.npy

Whoever writes files for others records them here (`recorded`), and whoever reads a file reads it through `read_bytes`
or asks `check`: a file whose line does not fit is refused, one without a line is somebody's own and simply read. A line
that is deleted makes a file one's own. `sha256sum --check causeway.sha256` does the same by hand.

A file's line is taken out before the file is written and put in when it is whole, so that a killed writer leaves files
without a line, never with a wrong one.

A folder that gets its name when it is whole (`whole_folder`), such as a checkpoint, is sealed before: all its files
have lines, with their sizes after them, and the last line is the checksum of those before it, so that a damaged list
is told from a damaged file; sizes and that line are comments to sha256sum. `SealedFolder` refuses what is not as it was
sealed.

Cost of a check: one reading of the files, 1.8 GB/s a core on the machine these notes speak of, a core a file.

Manifests and plans are JSON documents that carry the sha256 of themselves (`write_sealed`), so whoever reads one knows
that it is as it was written:

    {"unit": 12, ..., "sha256": sha256 of the canonical JSON of all other fields}

Spaces and the order of fields do not count, as they change nothing that is read.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from causeway.engine.sweep import durable, locks
from causeway.engine.sweep.fingerprint import config_sha256, file_sha256
from causeway.engine.sweep.processes import results_by_one, share

CHECKSUMS_FILE = "causeway.sha256"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
# A file's line stands beside it or in one of the folders above, this many at most.
_LEVELS = 2
_LAST = "# sealed "
_SIZE = re.compile(r"^[0-9a-f]{64}  (.*)\n# (\d+) bytes$", re.MULTILINE)
_THREADS = min(8, os.cpu_count() or 1)
_CHANGED = "its checksum is not the one it was written with"


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
    """`recorded` for a folder that no other process writes to meanwhile, by one process of a crew.

    Raises:
        ValueError: another process does.
        ShareDone: another process of the crew writes the results.
    """
    results_by_one()
    durable.make_folder(folder)
    with locks.exclusive(folder / locks.LOCK_FILE, share().patience), recorded(folder, names):
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
    lines = enumerate(text.split("\n"), start=1)
    matches = [(number, _LINE.fullmatch(line)) for number, line in lines if line.strip() and not line.startswith("# ")]
    for number, match in matches:
        if not match:
            raise ValueError(f"{path} line {number}: damaged, not a checksum and a name; delete the line")
    return [(match[2], match[1]) for _, match in matches if match]


def _text(lines: dict[str, str]) -> str:
    return "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))


def _write(folder: Path, lines: dict[str, str]) -> None:
    """Lines of files that are there, sorted by name; no file for no line."""
    path = folder / CHECKSUMS_FILE
    if text := _text({name: digest for name, digest in lines.items() if (folder / name).is_file()}):
        durable.write_bytes(path, text.encode())
    else:
        durable.remove(path)


def seal(folder: Path) -> None:
    """List the checksums of a folder's files in it; nothing in it may change afterwards."""
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / CHECKSUMS_FILE]
    told = {
        path.relative_to(folder).as_posix(): (path.stat().st_size, digest) for path, digest in _digests(files).items()
    }
    text = "".join(f"{digest}  {name}\n# {size} bytes\n" for name, (size, digest) in sorted(told.items()))
    durable.write_bytes(folder / CHECKSUMS_FILE, _sealed(text))


def _sealed(text: str) -> bytes:
    return f"{text}{_LAST}{hashlib.sha256(text.encode()).hexdigest()}\n".encode()


def _digests(files: Iterable[Path]) -> dict[Path, str]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(files, pool.map(file_sha256, files), strict=True))


class SealedFolder:
    """A sealed folder for reading: files are checked once, and again only when they have been touched since."""

    def __init__(self, folder: Path, remedy: str):
        """Read the list.

        Args:
            folder: as `seal` left it. remedy: what a person does about damage, for the errors.

        Raises:
            ValueError: the list is missing or damaged.
        """
        self._folder, self._remedy = folder, remedy
        self._checked: dict[Path, tuple[int, int, int]] = {}
        path = folder / CHECKSUMS_FILE
        data = path.read_bytes() if path.is_file() else b""
        if not data:
            older = (folder / "checksums.json").is_file()
            raise self._damaged(path, "missing; the folder is of an older version" if older else "missing")
        if data != _sealed(data.decode("utf-8", "replace").rpartition(_LAST)[0]):
            raise self._damaged(path, _CHANGED)
        self._lines, self._sizes = dict(_lines(folder)), dict(_SIZE.findall(data.decode()))

    def check(self, chosen: Callable[[str], bool] = lambda name: True) -> None:
        """Compare files with the list: all of them, or those whose relative paths are chosen.

        Raises:
            ValueError: a file is missing or is not what was sealed; the first one is named.
        """
        named = {self._folder / name: digest for name, digest in self._lines.items() if chosen(name)}
        stamps = {self._folder / name: self._stamp(name) for name in self._lines if chosen(name)}
        due = [path for path, stamp in stamps.items() if self._checked.get(path) != stamp]
        for path, found in _digests(due).items():
            if found != named[path]:
                raise self._damaged(path, _CHANGED)
            self._checked[path] = stamps[path]

    def _stamp(self, name: str) -> tuple[int, int, int]:
        path = self._folder / name
        if not path.is_file():
            raise self._damaged(path, "missing")
        status = path.stat()
        if str(status.st_size) != self._sizes[name]:
            raise self._damaged(path, f"{status.st_size} bytes of {self._sizes[name]}")
        return status.st_size, status.st_mtime_ns, status.st_ino

    def _damaged(self, path: Path, reason: str) -> ValueError:
        return ValueError(f"damaged: {path} ({reason}); {self._remedy}")


SEAL = "sha256"


class DamagedDocument(ValueError):
    """A file that is not the document it was written as."""


def write_sealed(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a document with its checksum, durably, replacing an earlier one."""
    sealed = {**document, SEAL: config_sha256(document)}
    durable.write_bytes(path, (json.dumps(sealed, indent=1) + "\n").encode())


def read_sealed(path: Path) -> dict[str, Any]:
    """The document of a file, without its checksum.

    Raises:
        DamagedDocument: not a file, not JSON, or not what was written. FileNotFoundError: no such file.
    """
    try:
        document = json.loads(path.read_bytes())
        seal = document.pop(SEAL)
        whole = seal == config_sha256(document)
    except IsADirectoryError:
        raise DamagedDocument(f"{path}: is a folder, where a file is needed; move it away") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedDocument(f"{path}: damaged, not the document that was written")
    return document
