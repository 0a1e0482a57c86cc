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
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.runner import SweepReport, run_sweep
from causeway.engine.sweep.store import Store


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


def tables(job: Job, workdir: Path) -> Iterator[pa.Table]:
    """The rows of each finished unit, in order; one unit's are in memory at a time.

    Raises:
        DamagedStore: a file is not the one that was written.
    """
    for table in Store(workdir, job.plan).tables():
        yield job.laid_out(table)
