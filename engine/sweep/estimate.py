"""What a sweep will take, told before it starts (`--plan`).

Two bases. `abstract`: from shapes and the compiler's analysis, in seconds, before anything runs; disk counts arrays
uncompressed, so it is an upper bound, and time is

    compiles x compilation of the programs + seconds a row x rows + operations / (share x rate of products)

whose three factors (`Overhead`) an analysis measured once; without them time is operations over the rate, from below.
Where rows may end early and nobody knows how many do (a `Call` that begins after the first tokens), that time is at
most, and the time of the calls that all rows need is told beside it.
`measured`: pilot units, one of each kind that the plan has, run twice (the first run compiles) and are written to a
temporary workdir beside the real one, which gives time, memory and compressed bytes as they are. Where compiled
programs are kept on disk, the pilots have kept them for the run, and what it pays is loading them: they are forgotten
and run once more.
"""

import dataclasses
import datetime
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import jax

from causeway.engine.compilation_cache import programs_are_kept
from causeway.engine.memory import device_memory_bytes, peak_memory_bytes
from causeway.engine.sweep.cost import ProgramCost
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.runner import Compute
from causeway.engine.sweep.store import Store

# Bytes a table cell takes before compression, where its type does not say (strings, lists).
_CELL_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Size of a sweep.

    Attributes:
        name: of the sweep.
        units: units of the plan.
        rows: rows of the plan.
        seconds: wall time; None where no rate is known. least_seconds: where `seconds` is at most, because rows may end
            early, the same with all of them ended as early as can be; else None.
        memory_bytes: of the device; where devices compute in the host's memory, of the process. For `measured` the
            larger of host and device memory.
        disk_bytes: all data files, the merged table included.
        basis: how it was found.
        note: what the figures leave out.
        memory_there: bytes that there are of it; 0 where that is not known.
    """

    name: str
    units: int
    rows: int
    seconds: float | None
    memory_bytes: int
    disk_bytes: int
    basis: Literal["abstract", "measured"]
    note: str
    memory_there: int = 0
    least_seconds: float | None = None

    @property
    def fits(self) -> bool:
        """Whether there is that much memory, as far as is known."""
        return not self.memory_there or self.memory_bytes <= self.memory_there

    def text(self) -> str:
        """One screen for people."""
        there = f" of {self.memory_there / 1e9:.3g} GB there" if self.memory_there else ""
        duration = "unknown" if self.seconds is None else _duration(self.seconds)
        if self.least_seconds is not None:
            duration = f"{duration} at most, no row ending early; {_duration(self.least_seconds)} if all end at once"
        lines = {
            "units": f"{self.units:,}",
            "rows": f"{self.rows:,}",
            "time": duration,
            "memory": f"{self.memory_bytes / 1e9:.3g} GB{there}",
            "disk": f"{self.disk_bytes / 1e9:.3g} GB",
            "basis": f"{self.basis} ({self.note})",
        }
        return "\n".join([f"{self.name}: plan", *(f"  {name:<7}{value}" for name, value in lines.items())])


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


@dataclasses.dataclass(frozen=True)
class Call:
    """A program of a sweep.

    Attributes:
        cost: of one call. count: how often the whole plan calls it, at most where `later`. later: whether rows may have
            ended before it, so that it is called less often, or never.
    """

    cost: ProgramCost
    count: int
    later: bool = False


@dataclasses.dataclass(frozen=True)
class Overhead:
    """What a sweep takes beside its products.

    Attributes:
        compiles: how often the time that the programs took to compile, to allow for prompts of other widths and for
            programs that were not looked at. row_seconds: of the host, for each row. share: of the rate of products
            that the programs reach.
    """

    compiles: float = 0.0
    row_seconds: float = 0.0
    share: float = 1.0


def estimate_abstract(
    plan: Plan,
    calls: Iterable[Call],
    *,
    flops_per_second: float | None = None,
    in_host_memory: bool = False,
    overhead: Overhead = Overhead(),
) -> Estimate:
    """Estimate from shapes alone.

    Args:
        plan: the plan.
        calls: of each program.
        flops_per_second: rate of matrix products over all devices; without it the time is unknown.
        in_host_memory: whether the devices compute in the host's memory; then what this process has needed so far
            (interpreter, libraries, weights, compiler) counts beside what a program adds.
        overhead: what there is beside products.
    """
    calls = list(calls)
    sure = [call for call in calls if not call.later]
    costs = [call.cost for call in calls]
    added = max((cost.memory_bytes - (cost.resident_bytes if in_host_memory else 0) for cost in costs), default=0)
    rate = flops_per_second and overhead.share * flops_per_second
    most = _seconds(plan, calls, rate, overhead) if rate else None
    return Estimate(
        name=plan.name,
        units=plan.units,
        rows=plan.rows,
        seconds=most,
        memory_bytes=max(added, 0) + (peak_memory_bytes() if in_host_memory else 0),
        disk_bytes=uncompressed_bytes(plan),
        basis="abstract",
        note=f"{_flops(calls):.3g} operations of products, {_compiling(calls, overhead):.3g} s to compile; disk from "
        "above, before compression",
        least_seconds=_seconds(plan, sure, rate, overhead) if rate and len(sure) < len(calls) else None,
    )


def _seconds(plan: Plan, calls: Sequence[Call], rate: float, overhead: Overhead) -> float:
    return _compiling(calls, overhead) + overhead.row_seconds * plan.rows + _flops(calls) / rate


def _flops(calls: Sequence[Call]) -> int:
    return sum(call.cost.flops * call.count for call in calls)


def _compiling(calls: Sequence[Call], overhead: Overhead) -> float:
    return overhead.compiles * sum(call.cost.compile_seconds for call in calls if call.count)


@dataclasses.dataclass(frozen=True)
class Pilot:
    """A unit that is run because others are like it.

    Attributes:
        first: a unit whose run compiles what they need. timed: one like it, run afterwards for its time; the same where
            there is no other. rows: rows of the plan that are like its own.
    """

    first: int
    timed: int
    rows: int


def estimate_measured(
    plan: Plan, compute: Compute, beside: Path, pilots: Sequence[Pilot], *, in_host_memory: bool = False
) -> Estimate:
    """Estimate from pilot units.

    Args:
        plan: the plan. compute: unit index -> result. pilots: together they stand for all rows; those that compile the
            same programs after one another, the first of which pays for it.
        beside: the pilots' temporary workdir is made in this folder, on the disk that the sweep will fill.
        in_host_memory: whether the devices compute on the host, where a commit takes time from them.
    """
    if programs_are_kept():
        for pilot in pilots:
            compute(pilot.first)
        jax.clear_caches()
    taken = [_piloted(plan, compute, beside, pilot) for pilot in pilots]
    # One thread commits while the device computes: the slower sets the pace, unless both are one processor's work.
    joined = sum if in_host_memory else max
    paces = [joined((one.compute, one.commit)) for one in taken]
    compiling = sum(one.compiling for one in taken)
    weighted = list(zip(pilots, taken, strict=True))
    a_unit = ", ".join(f"{one.compute * plan.rows_per_unit:.3g}" for one in taken)
    return Estimate(
        name=plan.name,
        units=plan.units,
        rows=plan.rows,
        seconds=compiling + sum(pace * pilot.rows for pace, pilot in zip(paces, pilots, strict=True)),
        memory_bytes=max(peak_memory_bytes(), device_memory_bytes()),
        disk_bytes=round(sum(one.disk * pilot.rows for pilot, one in weighted)),
        basis="measured",
        note=f"units of {a_unit} s to compute, {compiling:.3g} s to compile once",
    )


@dataclasses.dataclass(frozen=True)
class _Taken:
    """What a pilot took: seconds a row to compute and to commit, seconds to compile, bytes a row on disk."""

    compute: float
    commit: float
    compiling: float
    disk: float


def _piloted(plan: Plan, compute: Compute, beside: Path, pilot: Pilot) -> _Taken:
    first, _ = _timed(compute, pilot.first)
    second, result = _timed(compute, pilot.timed)
    rows = plan.unit_rows[pilot.timed]
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pilot-", dir=beside) as folder:
        store = Store(Path(folder), plan)
        with store.writing():
            started = time.monotonic()
            written = store.commit(pilot.timed, result, {})
            commit = time.monotonic() - started
            written += store.rows_bytes(pilot.timed)
    compiling = max(first - second * plan.unit_rows[pilot.first] / rows, 0.0)
    return _Taken(second / rows, commit / rows, compiling, written / rows)


def uncompressed_bytes(plan: Plan) -> int:
    """Bytes of all data before compression; the table counts twice, per unit and merged."""
    cells = sum(field.type.bit_width / 8 if _fixed_width(field) else _CELL_BYTES for field in plan.layout.schema)
    return round(plan.rows * (plan.layout.array_row_bytes + 2 * cells))


def _fixed_width(field) -> bool:
    try:
        return field.type.bit_width > 0
    except ValueError:
        return False


def _timed(compute: Compute, unit: int):
    started = time.monotonic()
    result = compute(unit)
    return time.monotonic() - started, result
