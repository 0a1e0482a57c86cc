"""The workdir of a sweep: data files, one manifest per finished unit, and what may be trusted of them.

    workdir/plan.json                     the plan, written once
           /units/00012.parquet           rows of unit 12
           /<group>.zarr/<array>/c/12/... its shard of every dense array
           /units/00012.json              its manifest: path, size, sha256 of each data file; time and host only here
           /<table>.parquet, <table>.json the merged table and its manifest, when all units are done
           /events.jsonl, /.lock          progress, for people; held by the process, or the crew, that writes

A unit is finished when its manifest is there. Commit order: shards, Parquet, all durable, then the manifest by atomic
rename. So a process killed at any moment loses the units in flight and nothing else, and as data files hold no time
and no host, a resumed workdir has the same data bytes as an uninterrupted one.

What is trusted: plan and manifests carry their own checksums and the plan's fingerprint, metadata of arrays are
compared with the plan's, rows with their sha256 whenever they are read. Resuming lists manifests and compares sizes of
data files; `verify` reads everything and compares sha256.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorstore as ts

from causeway.engine.sweep import arrays, durable, table
from causeway.engine.sweep.checksums import DamagedDocument, write_sealed
from causeway.engine.sweep.fingerprint import file_sha256
from causeway.engine.sweep.hold import Hold
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.sweep.manifest import Damage, DamagedStore, Manifest, entry_of, finished_table
from causeway.engine.sweep.plan import PLAN_FILE, Plan, plan_of, read_plan
from causeway.engine.sweep.processes import Share

_MANIFEST = re.compile(r"\d{5,}\.json", re.ASCII)


class Store:
    """Reads and writes the workdir of one plan. Making the object touches no file."""

    def __init__(self, workdir: Path, plan: Plan):
        self.workdir = Path(workdir).absolute()
        self.plan = plan
        self._specs = dict(plan.layout.arrays)
        self._arrays: dict[str, ts.TensorStore] = {}
        self._units = self.workdir / "units"
        self._hold = Hold(self.workdir)

    @property
    def table_path(self) -> Path:
        """The merged table."""
        return self.workdir / f"{self.plan.layout.table}.parquet"

    @contextlib.contextmanager
    def writing(self, repair: bool = False, share: Share | None = None) -> Iterator[str]:
        """Holds the workdir for one writer, or one crew: binds the plan, makes folders, removes leftovers.

        Args:
            repair: write a damaged or missing plan again, where the finished units are of this one.
            share: of this process in a crew; None where it is alone.

        Yields:
            The plan's warning about changed versions, or "".

        Raises:
            ValueError: another live process writes here, the workdir is of another plan, or its plan is damaged.
        """
        durable.make_folder(self.workdir)
        self._hold = Hold(self.workdir, share.crew if share else "")
        with contextlib.ExitStack() as held:
            with self.turn():
                first = held.enter_context(self._hold.taken())
                if repair:
                    self._repair_plan()
                if self.plan.continues(self.workdir):
                    self._supersede(first)
                warning = self.plan.bind(self.workdir)
                durable.make_folder(self._units)
                for folder in (self.workdir, self._units) if first else ():
                    durable.remove_leftovers(folder)
            yield warning

    def turn(self) -> contextlib.AbstractContextManager:
        """Holds off the others of this process's crew from what is not of one unit alone."""
        return self._hold.turn()

    def check_there(self) -> None:
        """Refuses to go on where the workdir being written was removed, or another stands in its place.

        Raises:
            FileNotFoundError: it is gone, and what was finished with it.
        """
        if not self._hold() or not self._units.is_dir():
            raise FileNotFoundError(
                f"workdir {self.workdir}: was removed while the sweep ran, with what was finished in it; run the same "
                "command again to compute everything again"
            )

    def finished(self, among: Iterable[int] | None = None) -> list[int]:
        """Finished units in order, after a quick check that their files are there with their sizes.

        Args:
            among: look at these units alone.

        Raises:
            DamagedStore: a manifest or metadata are damaged, or a file is missing or has another size.
            ValueError: a file among the manifests is none of this plan's.
        """
        units = self._listed(among)
        damages = self._metadata_damages(units)
        if damages := damages + [damage for unit in units for damage in self._manifest(unit).damages(deep=False)]:
            raise DamagedStore(self.workdir, damages)
        return units

    def missing(self) -> list[int]:
        """Units without a manifest, in order; nothing is checked."""
        return sorted(set(range(self.plan.units)) - set(self._listed()))

    def verify(self, among: Iterable[int] | None = None) -> list[Damage]:
        """Every damaged file of every finished unit (`among` these) and of the merged table, by sha256 (reads them)."""
        units = self._listed(among)
        damages = self._metadata_damages(units)
        damages += [damage for unit in units for damage in self._manifest(unit).damages(deep=True)]
        return damages + (self._merged().damages(deep=True) if self.is_merged else [])

    def repair(self, among: Iterable[int] | None = None) -> list[Damage]:
        """Removes every damaged unit's manifest, then its data, so that it is computed again; says what was damaged.

        Metadata of arrays follow from the plan and are written again.

        Args:
            among: see to these units alone.
        """
        damages = self.verify(among)
        for unit in sorted({damage.unit for damage in damages if damage.unit is not None}):
            self._discard(unit)
        with self.turn():
            if damages:
                durable.remove(self._merged_path)
                durable.remove(self.table_path)
            if self._group.exists():
                arrays.create(self._group, self.plan)
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
            shards = [self._write_shard(name, unit, result.arrays[name]) for name in self._specs]
            files = [entry_of(self.workdir, path, file_sha256(path)) for path in shards]
            files.append(self._write_rows(unit, table.encode(rows)))
            own = self.plan.fingerprint_of(unit)
            document = {"unit": unit, "rows": len(rows), "fingerprint": own, "files": files}
            write_sealed(self._manifest_path(unit), {**document, "notes": dict(notes)})
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
            yield self._manifest(unit).table(self._rows_path(unit))

    def array(self, name: str) -> ts.TensorStore:
        """A dense array for reading, [array_rows, *row_shape]; rows of unfinished units read as zeros."""
        return arrays.open_array(self._folder(name), self.plan, self._specs[name])

    def merge(self) -> Path | None:
        """Writes the merged table if all units are finished and it is not there; its path, or None.

        A table that is there is checked by size; whoever reads it compares its sha256 (`finished_table`).

        Raises:
            DamagedStore: a file of a unit, or the table that is there, is not the one that was written.
        """
        if len(self.finished()) < self.plan.units:
            return None
        if self.is_merged:
            self._merged().check(deep=False)
            return self.table_path
        sha256 = table.merge(self.tables(), self.table_path, self.plan.layout.schema)
        entry = entry_of(self.workdir, self.table_path, sha256)
        write_sealed(self._merged_path, {"fingerprint": self.plan.fingerprint, "files": [entry]})
        return self.table_path

    @property
    def is_merged(self) -> bool:
        """Whether the merged table is there."""
        return self._merged_path.exists()

    def rows_bytes(self, unit: int) -> int:
        """Bytes of a finished unit's Parquet file; the merged table adds about as much again."""
        return self._rows_path(unit).stat().st_size

    @property
    def _merged_path(self) -> Path:
        return self.table_path.with_suffix(".json")

    @property
    def _group(self) -> Path:
        return self.workdir / f"{self.plan.layout.group}.zarr"

    def _manifest_path(self, unit: int) -> Path:
        return self._units / f"{unit:05d}.json"

    def _rows_path(self, unit: int) -> Path:
        return self._units / f"{unit:05d}.parquet"

    def _folder(self, name: str) -> Path:
        return self._group / name

    def _manifest(self, unit: int) -> Manifest:
        return Manifest.read(self.workdir, self._manifest_path(unit), self.plan.fingerprint_of(unit), unit)

    def _merged(self) -> Manifest:
        return Manifest.read(self.workdir, self._merged_path, self.plan.fingerprint)

    def _listed(self, among: Iterable[int] | None = None) -> list[int]:
        """The units that have a manifest; a file that is no manifest of this plan would be taken for one."""
        units = []
        for path in self._units.glob("*.json"):
            if not _MANIFEST.fullmatch(path.name) or not path.is_file() or int(path.stem) >= self.plan.units:
                raise ValueError(
                    f"{path}: no manifest of this sweep, whose units are 00000 to {self.plan.units - 1:05d}; move it "
                    "away"
                )
            units.append(int(path.stem))
        return sorted(units if among is None else set(units).intersection(among))

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
            with self.turn():
                arrays.create(self._group, self.plan)
            self._arrays[name] = arrays.open_array(folder, self.plan, spec, write=True)
        return arrays.write_shard(self._arrays[name], folder, unit, rows, self.plan, spec)

    def _write_rows(self, unit: int, data: bytes) -> dict[str, Any]:
        path = self._rows_path(unit)
        durable.write_bytes(path, data)
        return entry_of(self.workdir, path, hashlib.sha256(data).hexdigest())

    def _discard(self, unit: int) -> None:
        """Removes the manifest first: a manifest without its data would be damage."""
        durable.remove(self._manifest_path(unit))
        with contextlib.suppress(OSError):
            durable.remove(self._rows_path(unit))
        for name, spec in self._specs.items():
            arrays.remove_shard(self._folder(name), unit, spec)

    def _metadata_damages(self, units: list[int]) -> list[Damage]:
        """Metadata of arrays, there once a unit is, that are not what the plan says."""
        expected = arrays.metadata(self._group, self.plan) if units and self._specs else {}
        wrong = [path for path, data in expected.items() if not path.is_file() or path.read_bytes() != data]
        names = [path.relative_to(self.workdir).as_posix() for path in wrong]
        return [Damage(None, name, "missing, or not as the plan says") for name in names]

    def _supersede(self, alone: bool) -> None:
        """Removes the units of an earlier version that are not its own in this plan."""
        if not alone:
            raise ValueError(f"{self.workdir}: in use by processes that follow the plan as it was; end them first")
        earlier = {fingerprint for _, fingerprint in self.plan.versions}
        for unit in self._listed():
            found = self._manifest(unit)
            if found.fingerprint in earlier - {self.plan.fingerprint_of(unit)}:
                self._discard(unit)

    def _repair_plan(self) -> None:
        """Writes a damaged or missing plan again; units tell, by the fingerprint in their manifests, whose it was."""
        path = self.workdir / PLAN_FILE
        try:
            read_plan(self.workdir)
        except (DamagedDocument, FileNotFoundError):
            own = {self._manifest(unit).fingerprint for unit in self._listed()} - {""}
            if own - {self.plan.fingerprint, *(fingerprint for _, fingerprint in self.plan.versions)}:
                raise ValueError(f"{path}: damaged, and its units are of another plan; use another --workdir") from None
            self.plan.write(self.workdir)


def finished_store(workdir: Path, name: str, command: str) -> Store:
    """The store of a finished run, for whoever reads it without the run's own plan. Cost: a reading of its table.

    Args:
        workdir: of the run. name: of its table. command: that makes it, for messages.

    Raises:
        FileNotFoundError: the folder is not that of a finished run. ValueError: a file in it is damaged.
    """
    found = finished_table(workdir, name, command)
    store = Store(workdir, plan_of(found.plan, pq.read_schema(found.path)))
    store.finished()
    return store
