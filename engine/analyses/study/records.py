"""What is kept of a stage in a study's workdir, and whether its files are as it wrote them.

    WORKDIR/study.json            the page: what was run, with what, where everything lies
    WORKDIR/NAME/                 a stage's folder
    WORKDIR/stages/NAME.json      its record, sealed; NAME.log: what it printed; NAME.work/: where it resumes from
    WORKDIR/stages/inputs.json    digests of files from elsewhere, which are read again only when they were touched

A record is written before a stage starts (`started`: from then on what is in the folder is the stage's) and again
when it has ended well (`finished`, with every file's size, time and sha256). A killed stage leaves the first one.

A file is taken for whole where its size and time are those of the record; where the time is another one its bytes are
compared, and with `deep` all bytes are. Logs and locks may change. Cost: one reading of the files when a stage ends.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from causeway.engine.analyses.study.stages import PAGE, RECORDS
from causeway.engine.sweep.checksums import DamagedDocument, read_sealed, write_sealed
from causeway.engine.sweep.fingerprint import config_sha256, file_sha256
from causeway.engine.sweep.progress import EVENTS_FILE

# Of records; another one makes all stages again.
FORMAT = 1
_THREADS = min(8, os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True)
class Places:
    """Where a study keeps things."""

    workdir: Path

    @property
    def page(self) -> Path:
        """study.json."""
        return self.workdir / PAGE

    @property
    def records(self) -> Path:
        """The folder of records."""
        return self.workdir / RECORDS

    def folder(self, stage: str) -> Path:
        """The folder of a stage's results."""
        return self.workdir / stage

    def record(self, stage: str) -> Path:
        """A stage's record."""
        return self.records / f"{stage}.json"

    def log(self, stage: str) -> Path:
        """What a stage printed."""
        return self.records / f"{stage}.log"

    def work(self, stage: str) -> Path:
        """Where a stage with results of their own folder keeps what it resumes from."""
        return self.records / f"{stage}.work"


@dataclasses.dataclass(frozen=True)
class File:
    """A file that a stage wrote: path in its folder, bytes, time of the last change in ns, hex sha256."""

    path: str
    size: int
    changed: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Record:
    """What is kept of one stage.

    Attributes:
        study: name of the study. stage, driver: names. fingerprint: of what decides the stage's results. identity: all
            that enters the fingerprint, JSON. finished: whether it ended well. command: as a person types it.
            seconds, cpu_seconds: that it took, on the clock and of processors, over all its starts. peak_bytes: most
            memory of its process; None where the system does not say. disk_bytes: of its folder. files: in it.
            recorded: versions, host, device.
    """

    study: str
    stage: str
    driver: str
    fingerprint: str
    identity: Mapping[str, Any]
    command: str
    finished: bool = False
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int | None = None
    disk_bytes: int = 0
    files: tuple[File, ...] = ()
    recorded: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Keeps it, sealed."""
        write_sealed(path, {"format": FORMAT, **dataclasses.asdict(self), "files": [vars(file) for file in self.files]})

    def content(self, place: str) -> str:
        """Hex sha256 of the files at a place of the folder, "" being all of it.

        Raises:
            ValueError: there is none.
        """
        found = [
            [file.path, file.sha256] for file in self.files if not place or f"{file.path}/".startswith(f"{place}/")
        ]
        if not found:
            some = ", ".join(file.path for file in self.files[:6])
            raise ValueError(f"config: {self.stage} has written no {place}; it has {some}")
        return config_sha256(found)


def read_record(path: Path) -> Record | None:
    """The record of a stage; None where there is none, or one of another format.

    Raises:
        DamagedDocument: it is not as it was written.
    """
    try:
        document = read_sealed(path)
    except FileNotFoundError:
        return None
    except DamagedDocument as error:
        raise DamagedDocument(f"{error}; rerun with --repair, which makes the stage again") from None
    if document.pop("format") != FORMAT:
        return None
    files = tuple(File(**entry) for entry in document.pop("files"))
    return Record(**document, files=files)


def files_in(folder: Path) -> Iterator[Path]:
    """The files of a folder, below it too, but for logs, locks and what a killed writer left."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != EVENTS_FILE and not path.name.startswith("."):
            yield path


def written_files(folder: Path) -> tuple[File, ...]:
    """What a stage wrote, read once."""
    paths = list(files_in(folder))
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = list(pool.map(file_sha256, paths))
    return tuple(_file(folder, path, digest) for path, digest in zip(paths, digests, strict=True))


def _file(folder: Path, path: Path, digest: str) -> File:
    status = path.stat()
    return File(path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns, digest)


def missing(record: Record, folder: Path) -> list[str]:
    """Paths of the record's files that are not there."""
    return [file.path for file in record.files if not (folder / file.path).is_file()]


def changed(record: Record, folder: Path, deep: bool = False) -> list[str]:
    """What is wrong with the record's files that are there, one text each.

    Args:
        deep: compare all bytes, not those alone of files that were touched.
    """
    found = ((file, folder / file.path) for file in record.files)
    return [f"{path}: {reason}" for file, path in found if path.is_file() and (reason := _differs(file, path, deep))]


def _differs(file: File, path: Path, deep: bool) -> str:
    status = path.stat()
    if status.st_size != file.size:
        return f"{status.st_size} bytes, but written with {file.size}"
    if (deep or status.st_mtime_ns != file.changed) and file_sha256(path) != file.sha256:
        return "not as it was written, by its sha256"
    return ""


def foreign(record: Record | None, folder: Path) -> list[Path]:
    """Files of a stage's folder that the stage did not write; none where it has been started and not ended."""
    if record is not None and not record.finished:
        return []
    own = set() if record is None else {file.path for file in record.files}
    return [path for path in files_in(folder) if path.relative_to(folder).as_posix() not in own]


class Digests:
    """Digests of files and folders from elsewhere, kept so that they are read once."""

    def __init__(self, path: Path):
        """Args: path of the file that keeps them."""
        self._path = path
        self._known = self._read()

    def of(self, path: Path) -> str:
        """Hex sha256 of a file, or of all files of a folder with their names."""
        if not path.is_dir():
            return self._of_file(path)
        return config_sha256([[p.relative_to(path).as_posix(), self._of_file(p)] for p in files_in(path)])

    def keep(self) -> None:
        """Writes them."""
        if self._known != self._read():
            write_sealed(self._path, {"files": self._known})

    def _of_file(self, path: Path) -> str:
        status, name = path.stat(), str(path.resolve())
        stamp: Sequence[int] = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(name)
        if known is None or known[:3] != stamp:
            known = self._known[name] = [*stamp, file_sha256(path)]
        return known[3]

    def _read(self) -> dict[str, list[Any]]:
        try:
            return dict(read_sealed(self._path)["files"])
        except (OSError, ValueError):
            return {}
