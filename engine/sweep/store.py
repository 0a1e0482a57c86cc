"""The workdir of a sweep: data files, one manifest per finished unit, and what may be trusted of them.

    workdir/plan.json                     the plan, written once
           /units/00012.parquet           rows of unit 12
           /<group>.zarr/<array>/c/12/... its shard of every dense array
           /units/00012.json              its manifest: path, size, sha256 of each data file; time and host only here
           /<table>.parquet, <table>.json the merged table and its manifest, when all units are done
           /events.jsonl, /.lock          progress, for people; held by the one process that writes

A unit is finished when its manifest is there. Commit order: shards, Parquet, all durable, then the manifest by atomic
rename. So a process killed at any moment loses the units in flight and nothing else, and as data files hold no time
and no host, a resumed workdir has the same data bytes as an uninterrupted one. Resuming lists manifests and compares
sizes; `verify` reads everything and compares sha256.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorstore as ts

from causeway.engine.sweep import arrays, durable, table
from causeway.engine.sweep.fingerprint import file_sha256
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.sweep.plan import Plan


@dataclasses.dataclass(frozen=True)
class Damage:
    """A file that is not what its manifest says.

    Attributes:
        unit: the unit it belongs to; None for the merged table.
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


class Store:
    """Reads and writes the workdir of one plan. Making the object touches no file."""

    def __init__(self, workdir: Path, plan: Plan):
        self.workdir = Path(workdir).absolute()
        self.plan = plan
        self._specs = dict(plan.layout.arrays)
        self._arrays: dict[str, ts.TensorStore] = {}
        self._units = self.workdir / "units"

    @property
    def table_path(self) -> Path:
        """The merged table."""
        return self.workdir / f"{self.plan.layout.table}.parquet"

    @contextlib.contextmanager
    def writing(self) -> Iterator[str]:
        """Holds the workdir for one writer: binds the plan, makes folders and arrays, removes leftovers.

        Yields:
            The plan's warning about changed versions, or "".

        Raises:
            ValueError: another live process writes here, or the workdir is of another plan.
        """
        self.workdir.mkdir(parents=True, exist_ok=True)
        with durable.exclusive(self.workdir / ".lock"):
            warning = self.plan.bind(self.workdir)
            self._units.mkdir(exist_ok=True)
            for folder in (self.workdir, self._units):
                durable.remove_leftovers(folder)
            yield warning

    def finished(self) -> list[int]:
        """Finished units in order, after a quick check that their files are there with their sizes.

        Raises:
            DamagedStore: a file is missing or has another size.
        """
        damages = [damage for unit in self._listed() for damage in self._damages(unit, deep=False)]
        if damages:
            raise DamagedStore(self.workdir, damages)
        return self._listed()

    def verify(self) -> list[Damage]:
        """Every damaged file of every finished unit and of the merged table, by sha256 (reads all data)."""
        damages = [damage for unit in self._listed() for damage in self._damages(unit, deep=True)]
        if self._merged_manifest.exists():
            damages += self._check(None, self._merged_manifest, deep=True)
        return damages

    def repair(self) -> list[Damage]:
        """Removes every damaged unit's manifest, then its data, so that it is computed again; says what was damaged."""
        damages = self.verify()
        for unit in sorted({damage.unit for damage in damages if damage.unit is not None}):
            self._discard(unit)
        if damages:
            durable.remove(self._merged_manifest)
            durable.remove(self.table_path)
        for name in self._specs:
            self._repair_metadata(name)
        return damages

    def commit(self, unit: int, result: UnitResult, notes: Mapping[str, Any]) -> int:
        """Makes a unit finished.

        Args:
            unit: its index.
            result: all its rows.
            notes: JSON-able facts for the manifest alone (time, host, device).

        Returns:
            Bytes of its data files.

        Raises:
            ValueError: the result is not what the plan says; nothing was written.
            OSError: a full disk among others; nothing is left under a final name.
        """
        rows = self._checked(unit, result)
        try:
            paths = [self._write_shard(name, unit, result.arrays[name]) for name in self._specs]
            durable.write_bytes(self._rows_path(unit), table.encode(rows))
            files = [self._entry(path) for path in [*paths, self._rows_path(unit)]]
            document = {"unit": unit, "rows": len(rows), "fingerprint": self.plan.fingerprint, "files": files}
            self._write_manifest(self._manifest_path(unit), {**document, "notes": dict(notes)})
        except BaseException:
            # Without its manifest the unit does not exist; its files would only keep a full disk full.
            self._discard(unit)
            raise
        return sum(entry["size"] for entry in files)

    def tables(self) -> Iterator[pa.Table]:
        """Rows of the finished units, one table per unit, in unit order, each checked against its manifest.

        Raises:
            DamagedStore: a Parquet file is not the one that was written.
        """
        for unit in self.finished():
            damages = self._check(unit, self._manifest_path(unit), deep=True, only=".parquet")
            if damages:
                raise DamagedStore(self.workdir, damages)
            yield pq.read_table(self._rows_path(unit), partitioning=None)

    def array(self, name: str) -> ts.TensorStore:
        """A dense array for reading, [array_rows, *row_shape]; rows of unfinished units read as zeros."""
        return arrays.open_array(self._folder(name), self.plan, self._specs[name])

    def merge(self) -> Path | None:
        """Writes the merged table if all units are finished and it is not there; its path, or None."""
        if len(self.finished()) < self.plan.units:
            return None
        if self._merged_manifest.exists():
            damages = self._check(None, self._merged_manifest, deep=False)
            if damages:
                raise DamagedStore(self.workdir, damages)
            return self.table_path
        table.merge(self.tables(), self.table_path, self.plan.layout.schema)
        entry = self._entry(self.table_path)
        self._write_manifest(self._merged_manifest, {"fingerprint": self.plan.fingerprint, "files": [entry]})
        return self.table_path

    def rows_bytes(self, unit: int) -> int:
        """Bytes of a finished unit's Parquet file; the merged table adds about as much again."""
        return self._rows_path(unit).stat().st_size

    def data_files(self) -> list[Path]:
        """Every file whose bytes are a function of the plan alone, sorted; not manifests, plan, events."""
        found = [*self._units.glob("*.parquet"), *self.workdir.glob("*.parquet"), *self.workdir.glob("*.zarr/**/*")]
        return sorted(path for path in found if path.is_file())

    @property
    def _merged_manifest(self) -> Path:
        return self.table_path.with_suffix(".json")

    def _manifest_path(self, unit: int) -> Path:
        return self._units / f"{unit:05d}.json"

    def _rows_path(self, unit: int) -> Path:
        return self._units / f"{unit:05d}.parquet"

    def _folder(self, name: str) -> Path:
        return self.workdir / f"{self.plan.layout.group}.zarr" / name

    def _listed(self) -> list[int]:
        return sorted(int(path.stem) for path in self._units.glob("*.json"))

    def _checked(self, unit: int, result: UnitResult) -> pa.Table:
        if self._manifest_path(unit).exists():
            raise ValueError(f"unit {unit}: already finished in {self.workdir}; a finished unit is never overwritten")
        count = self.plan.unit_rows[unit]
        missing, unknown = sorted(self._specs.keys() - result.arrays), sorted(result.arrays.keys() - self._specs)
        if missing or unknown:
            raise ValueError(f"arrays: missing {missing}, unknown {unknown}; return exactly those of the plan")
        for name, spec in self._specs.items():
            arrays.check_rows(name, result.arrays[name], spec, count)
        return table.as_table(result.rows, self.plan.layout.schema, count)

    def _write_shard(self, name: str, unit: int, rows: np.ndarray) -> Path:
        folder, spec = self._folder(name), self._specs[name]
        if name not in self._arrays:
            arrays.create_group(folder.parent, self.plan)
            self._arrays[name] = arrays.open_array(folder, self.plan, spec, create=True)
        return arrays.write_shard(self._arrays[name], folder, unit, rows, self.plan, spec)

    def _discard(self, unit: int) -> None:
        """Removes the manifest first: a manifest without its data would be damage."""
        durable.remove(self._manifest_path(unit))
        with contextlib.suppress(OSError):
            durable.remove(self._rows_path(unit))
        for name, spec in self._specs.items():
            arrays.remove_shard(self._folder(name), unit, spec)

    def _entry(self, path: Path) -> dict[str, Any]:
        relative = path.relative_to(self.workdir).as_posix()
        return {"path": relative, "size": path.stat().st_size, "sha256": file_sha256(path)}

    def _write_manifest(self, path: Path, document: Mapping[str, Any]) -> None:
        durable.write_bytes(path, (json.dumps(document, indent=1) + "\n").encode())

    def _damages(self, unit: int, deep: bool) -> list[Damage]:
        return self._check(unit, self._manifest_path(unit), deep)

    def _check(self, unit: int | None, manifest: Path, deep: bool, only: str = "") -> list[Damage]:
        try:
            entries = json.loads(manifest.read_text())["files"]
        except (ValueError, KeyError, TypeError):
            return [Damage(unit, manifest.relative_to(self.workdir).as_posix(), "damaged manifest")]
        reasons = {e["path"]: self._reason(e, deep) for e in entries if e["path"].endswith(only)}
        return [Damage(unit, path, reason) for path, reason in reasons.items() if reason]

    def _reason(self, entry: Mapping[str, Any], deep: bool) -> str:
        path = self.workdir / entry["path"]
        if not path.exists():
            return "missing, though its manifest is there"
        size = path.stat().st_size
        if size != entry["size"]:
            return f"{size} bytes, but its manifest says {entry['size']}"
        if deep and file_sha256(path) != entry["sha256"]:
            return f"corrupted: its sha256 is not the {entry['sha256'][:12]}... of its manifest"
        return ""

    def _repair_metadata(self, name: str) -> None:
        """An array's metadata follow from the plan: what does not match is written again."""
        folder = self._folder(name)
        if folder.exists():
            arrays.create_group(folder.parent, self.plan)
            try:
                arrays.open_array(folder, self.plan, self._specs[name])
            except ValueError:
                durable.remove(folder / arrays.METADATA_FILE)
                arrays.open_array(folder, self.plan, self._specs[name], create=True)
