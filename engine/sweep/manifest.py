"""Manifests: which files a finished unit, or the merged table, consists of, each with its size and sha256.

A manifest is sealed (`checksums`) and names the plan whose data it vouches for, so neither its own damage nor a file of
another plan's run goes unnoticed.

`finished_table` gives the merged table of a finished run to whoever reads it without the run's own plan.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine.sweep.checksums import DamagedDocument, read_sealed
from causeway.engine.sweep.fingerprint import file_sha256
from causeway.engine.sweep.plan import read_plan


@dataclasses.dataclass(frozen=True)
class Damage:
    """A file that is not what its manifest says.

    Attributes:
        unit: the unit it belongs to; None for the merged table and for metadata of arrays.
        path: relative to the workdir.
        reason: what was found instead.
    """

    unit: int | None
    path: str
    reason: str


class DamagedStore(ValueError):
    """Finished data are missing or changed; names the first file and says how to recompute it."""

    def __init__(self, workdir: Path, damages: list[Damage]):
        first, rest = damages[0], len(damages) - 1
        more = f" (and {rest} more damaged files)" if rest else ""
        super().__init__(f"{workdir / first.path}: {first.reason}{more}; rerun with --repair to recompute it")
        self.damages = damages


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A manifest as it was read.

    Attributes:
        workdir, path: where it is. unit: of which unit; None for the merged table. files: path, size and sha256 of
            each. fingerprint: of the plan that it names; "" where it is damaged. damage: why it cannot be trusted; ""
            where it can.
    """

    workdir: Path
    path: Path
    unit: int | None
    files: tuple[Mapping[str, Any], ...] = ()
    fingerprint: str = ""
    damage: str = ""

    @classmethod
    def read(cls, workdir: Path, path: Path, fingerprint: str, unit: int | None = None) -> "Manifest":
        """The manifest of a unit, or of the merged table, of the plan that has this fingerprint."""
        try:
            document = read_sealed(path)
        except DamagedDocument:
            return cls(workdir, path, unit, damage="damaged manifest")
        own, damage = document["fingerprint"], ""
        if own != fingerprint:
            damage = f"of another plan (fingerprint {own[:12]}..., this one's is {fingerprint[:12]}...)"
        elif document.get("unit") != unit:
            damage = f"the manifest of unit {document.get('unit')}"
        return cls(workdir, path, unit, tuple(document["files"]), own, damage)

    def damages(self, deep: bool) -> list[Damage]:
        """Files that are missing or of another size; with `deep`, also those of another sha256 (reads all of them)."""
        if self.damage:
            return [Damage(self.unit, self.path.relative_to(self.workdir).as_posix(), self.damage)]
        reasons = ((entry["path"], self._reason(entry, deep)) for entry in self.files)
        return [Damage(self.unit, path, reason) for path, reason in reasons if reason]

    def check(self, deep: bool) -> None:
        """Raises DamagedStore where `damages` finds some."""
        if found := self.damages(deep):
            raise DamagedStore(self.workdir, found)

    def table(self, path: Path) -> pa.Table:
        """A Parquet file that the manifest lists, read once and checked on the way.

        Raises:
            DamagedStore: the manifest is damaged, or the file not the one that was written.
        """
        self.check(deep=False)
        (entry,) = (entry for entry in self.files if self.workdir / entry["path"] == path)
        data = path.read_bytes()
        if reason := _differs(entry, hashlib.sha256(data).hexdigest()):
            raise DamagedStore(self.workdir, [Damage(self.unit, entry["path"], reason)])
        return pq.read_table(pa.BufferReader(data), partitioning=None)

    def _reason(self, entry: Mapping[str, Any], deep: bool) -> str:
        path = self.workdir / entry["path"]
        if not path.is_file():
            return "missing, though its manifest is there"
        size = path.stat().st_size
        if size != entry["size"]:
            return f"{size} bytes, but its manifest says {entry['size']}"
        return _differs(entry, file_sha256(path)) if deep else ""


def entry_of(workdir: Path, path: Path, sha256: str) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"path": path.relative_to(workdir).as_posix(), "size": path.stat().st_size, "sha256": sha256}


def _differs(entry: Mapping[str, Any], sha256: str) -> str:
    if sha256 == entry["sha256"]:
        return ""
    return f"corrupted: its sha256 is not the {entry['sha256'][:12]}... of its manifest"


@dataclasses.dataclass(frozen=True)
class FinishedTable:
    """A merged table.

    Attributes:
        path: the Parquet file. sha256: of it. plan: the plan that it is the data of (`config`, `parts`, `about`).
    """

    path: Path
    sha256: str
    plan: Mapping[str, Any]


def finished_table(workdir: Path, name: str, command: str) -> FinishedTable:
    """Checks and gives the table of a finished run. Cost: one reading of the file.

    Args:
        workdir: of the run. name: of the table, as `trials`. command: that makes it, for messages.

    Raises:
        FileNotFoundError: the folder is not that of a finished run. ValueError: a file in it is damaged.
    """
    path = workdir / f"{name}.parquet"
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; needs the --workdir of a finished `{command}` run")
    plan = read_plan(workdir)
    manifest = Manifest.read(workdir, path.with_suffix(".json"), plan["fingerprint"])
    manifest.check(deep=True)
    (entry,) = manifest.files
    return FinishedTable(path, entry["sha256"], plan)
