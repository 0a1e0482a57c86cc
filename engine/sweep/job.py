"""A job: what an analysis gives so that its computation lasts.

An analysis says what is to be computed (`plan`, made once, because it hashes everything that decides the numbers) and
computes one unit of it (`unit`). Running, resuming, repairing and reading back are here, for all analyses.

    report = run(job, workdir)          # the same call resumes; report.stopped says why it ended early
    for table in tables(job, workdir):  # each finished unit's rows, in order, checked against their sha256
"""

import abc
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from causeway.engine.sweep.guard import DiskGuard
from causeway.engine.sweep.interrupt import Stopped
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.report import SweepReport
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store
from causeway.engine.sweep.table import as_table


class Job(abc.ABC):
    """A computation in units. Subclasses give `plan` as a cached property."""

    @property
    @abc.abstractmethod
    def plan(self) -> Plan:
        """Units, layout (the table's schema among it), and everything that decides the numbers."""

    @abc.abstractmethod
    def unit(self, index: int) -> UnitResult:
        """All rows of one unit, a function of the plan and the index alone."""

    @property
    def expected_bytes(self) -> int:
        """Bytes that the whole plan is estimated to take on disk; 0 where nothing is known."""
        return 0

    @property
    def beside(self) -> Mapping[str, bytes]:
        """Files written into the workdir once it is known to be of this plan, by name."""
        return {}

    def laid_out(self, table: pa.Table) -> pa.Table:
        """One unit's rows as they are read, from what is stored of them."""
        return table


def run(job: Job, workdir: Path, *, guard: DiskGuard | None = None, repair: bool = False) -> SweepReport:
    """Compute what is missing of a job; the same call resumes.

    Args:
        job: what is computed.
        workdir: where it is kept.
        guard: of the disk, by default with its own limits.
        repair: read all data first, and compute damaged units again.

    Raises:
        ValueError: see `run_sweep`.
    """
    return run_sweep(
        Store(workdir, job.plan), job.unit, guard=guard, expected_bytes=job.expected_bytes, repair=repair,
        beside=job.beside,
    )  # fmt: skip


def run_whole(job: Job, workdir: Path) -> None:
    """`run`, where nothing can be done with a part of it.

    Raises:
        ValueError: see `run_sweep`.
        Stopped: by a signal, a full disk, or memory that ran out; what is finished is kept.
    """
    report = run(job, workdir)
    if report.stopped:
        done = f"{report.finished} of {report.units} units are in {workdir}"
        if report.stopped == "memory":
            raise Stopped(
                f"memory ran out: {done}; the same command goes on where there is more memory; fewer rows or prompts "
                "at once need another workdir"
            )
        raise Stopped(f"{report.stopped}: {done}; the same command goes on")


def all_tables(job: Job, workdir: Path | None) -> Iterator[pa.Table]:
    """The rows of every unit, computed where they are missing.

    Args:
        workdir: where they are kept; None keeps nothing.

    Raises:
        ValueError, Stopped: see `run_whole`. DamagedStore: see `tables`.
    """
    if workdir is None:
        for index in range(job.plan.units):
            rows = job.unit(index).rows
            yield job.laid_out(as_table(rows, job.plan.layout.schema, job.plan.unit_rows[index]))
        return
    run_whole(job, workdir)
    yield from tables(job, workdir)


def tables(job: Job, workdir: Path) -> Iterator[pa.Table]:
    """The rows of each finished unit, in order; one unit's are in memory at a time.

    Raises:
        DamagedStore: a file is not the one that was written.
    """
    for table in Store(workdir, job.plan).tables():
        yield job.laid_out(table)
