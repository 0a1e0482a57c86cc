"""Runs the units of a plan that are not finished yet, on one or several devices, and commits them.

One thread per device computes units, taken in order from one queue; the calling thread commits them, so that a commit
overlaps the next unit's computation. At most devices + 1 units are in memory. Which device computed a unit, and when,
changes nothing in the data: a unit's result depends on its index alone, and its place in the files on the plan alone.

A process of a crew (`sweep.processes`) computes its own share, then waits until the units of the others are there too.

Settings of jax that are bound to a thread by a context manager (`jax.default_device`, `jax.transfer_guard`) must be
entered inside `compute`: it does not run in the caller's thread.
"""

import contextlib
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from causeway.engine.memory import is_out_of_memory
from causeway.engine.sweep.checksums import recorded
from causeway.engine.sweep.durable import is_disk_full, write_bytes
from causeway.engine.sweep.environment import environment
from causeway.engine.sweep.guard import DiskGuard
from causeway.engine.sweep.interrupt import Interrupt
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.sweep.others import Others
from causeway.engine.sweep.processes import Share, share
from causeway.engine.sweep.progress import Progress
from causeway.engine.sweep.report import Stopped, SweepReport
from causeway.engine.sweep.store import Store

Compute = Callable[[int], UnitResult]

_POLL_SECONDS = 0.2
# Between two looks whether the units of other processes are there.
_LOOK_SECONDS = 1.0
_LONGEST_ERROR = 200


def run_sweep(
    store: Store,
    compute: Compute | Sequence[Compute],
    *,
    units: Iterable[int] | None = None,
    limit: int | None = None,
    guard: DiskGuard | None = None,
    expected_bytes: int = 0,
    repair: bool = False,
    beside: Mapping[str, bytes] | None = None,
) -> SweepReport:
    """Computes and commits every unit that is not finished; the same call resumes.

    Args:
        store: the workdir of the plan.
        compute: unit index -> result; one per device.
        units: only these units (a pilot); all by default.
        limit: at most this many units in this run.
        guard: of the disk; by default with its own limits on the workdir.
        expected_bytes: estimated bytes of the whole plan, refused up front if what is missing cannot fit.
        repair: read all data first, and compute damaged units again.
        beside: files written into the workdir once it is known to be of this plan and held, by name.

    Returns:
        How far it came. A signal, a full disk, memory that ran out or other processes that ended early end it early,
        without an error, resumable.

    Raises:
        ValueError: workdir of another plan or in use, damaged data without `repair`, not enough disk.
        FileNotFoundError: the workdir was removed meanwhile.
        Exception: whatever `compute` raised, after units in flight elsewhere are over; finished units stay.
    """
    guard, own = guard or DiskGuard(store.workdir), share()
    own.agree(store.plan)
    with store.writing(repair, own) as warning:
        among = own.own(range(store.plan.units))
        repaired = store.repair([unit for unit in among if own.commits(unit)]) if repair else []
        own.ready()
        done = store.finished(among)
        guard.require(round(expected_bytes * len(store.missing()) / store.plan.units), f"the rest of {store.plan.name}")
        with store.turn():
            _write_beside(store.workdir, beside or {})
        with contextlib.closing(Progress(store.plan, store.workdir, guard, done, share=own)) as progress:
            missing = own.own(_missing(store.plan.units, done, units))
            progress.event("start", f"{len(missing)} units to compute, {len(done)} finished", environment=environment())
            for damage in repaired:
                progress.event("repair", f"{damage.path}: {damage.reason}; computing it again")
            if warning:
                progress.event("warning", f"bits may differ from those of earlier units: {warning}")
            run = _Run(store, own, list(compute) if isinstance(compute, Sequence) else [compute], guard, progress)
            return run.to_end(missing[:limit], whole=units is None and limit is None)


def _write_beside(workdir: Path, files: Mapping[str, bytes]) -> None:
    if files:
        with recorded(workdir, files):
            for name, data in files.items():
                write_bytes(workdir / name, data)


def _missing(total: int, done: Iterable[int], units: Iterable[int] | None) -> list[int]:
    wanted = sorted(set(range(total) if units is None else units))
    wrong = [unit for unit in wanted if not 0 <= unit < total]
    if wrong:
        raise ValueError(f"units: got {wrong[0]}, the plan has units 0..{total - 1}; give some of those")
    return sorted(set(wanted) - set(done))


class _Run:
    """One run: a queue of units to compute, threads that compute them, and the loop that commits results."""

    def __init__(self, store: Store, own: Share, computes: list[Compute], guard: DiskGuard, progress: Progress):
        self._store, self._share, self._computes, self._guard, self._progress = store, own, computes, guard, progress
        self._pending: deque[int] = deque()
        self._permits = threading.Semaphore(len(computes) + 1)
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped: Stopped = ""
        self._error: BaseException | None = None
        self._computed = 0
        self._others = Others(own, progress)

    def to_end(self, missing: list[int], whole: bool) -> SweepReport:
        """Computes units until none is left or something stops the run, then merges if the plan is done.

        Args:
            missing: to compute. whole: whether to wait for those of other processes as well.
        """
        started, complete = time.monotonic(), self._store.is_merged
        self._pending.extend(missing)
        try:
            # The second signal: units in flight are left behind, and computed again by the next run.
            with Interrupt(lambda: self._stop("signal")) as interrupt, contextlib.suppress(KeyboardInterrupt):
                self._compute_and_commit(interrupt)
                if whole and not self._share.alone:
                    self._wait(interrupt)
            # A merge can be done again from its beginning: signals end it as they end everything else.
            table = self._merge(complete)
        finally:
            self._pending.clear()
            self._progress.close()
        left, seconds = len(self._store.missing()), time.monotonic() - started
        if table is None and whole and not self._stopped:
            if not self._share.alone and left:
                self._stop("others")  # one of them repairs: it has taken away what was damaged, and computes it again
            else:
                raise FileNotFoundError(
                    f"workdir {self._store.workdir}: finished units were removed while the sweep ran"
                )
        units, stopped = self._store.plan.units, "" if table else self._stopped or "limit"
        report = SweepReport(units, units - left, self._computed, seconds, stopped, table)
        self._progress.event("end", report.told(), computed=self._computed, seconds=seconds)
        return report

    def _wait(self, interrupt: Interrupt) -> None:
        """Until the units of other processes are there too, or those do not come; computes what falls to this one."""
        while (missing := self._store.missing()) and not self._stopped and not interrupt.overdue:
            if self._others.lost(missing):
                self._stop("others")
            elif self._share.retakes:
                self._pending.extend(missing)
                self._compute_and_commit(interrupt)
            self._tick(interrupt)
            time.sleep(_LOOK_SECONDS)
            self._store.check_there()

    def _compute_and_commit(self, interrupt: Interrupt) -> None:
        """Starts the threads and commits their results until the last thread is over, or a signal is overdue."""
        for index, compute in enumerate(self._computes):
            # Daemons: a signal must not wait for a unit that may take many minutes.
            threading.Thread(target=self._work, args=(index, compute), daemon=True).start()
        alive = len(self._computes)
        while alive and not interrupt.overdue:
            try:
                kind, *payload = self._results.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                self._tick(interrupt)
                continue
            if kind == "over":
                alive -= 1
            elif kind == "error":
                self._fail(*payload)
            else:
                self._keep(*payload)
                # Results wait in the queue or are being committed; both count against the permits.
                del payload
                self._permits.release()
            self._tick(interrupt)
        if self._error is not None:
            raise self._error

    def _work(self, worker: int, compute: Compute) -> None:
        """One device's thread: a permit, a unit, its result, until there is nothing to do."""
        try:
            while True:
                unit: int | None = None
                self._permits.acquire()
                unit = self._next_unit()
                if unit is None:
                    return
                started = time.monotonic()
                result = compute(unit)
                notes = {"seconds": time.monotonic() - started, "worker": worker, "host": socket.gethostname()}
                self._results.put(("result", unit, result, notes))
                del result
        except BaseException as error:
            error.add_note(f"in {'the queue' if unit is None else f'unit {unit}'} of {self._store.plan.name}")
            self._results.put(("error", error))
        finally:
            # The permit of a thread that ends frees the others, which find nothing left and end too.
            self._permits.release()
            self._results.put(("over",))

    def _next_unit(self) -> int | None:
        with self._lock:
            if self._pending and self._guard.fraction() >= self._guard.stop:
                self._stop("disk")
            with contextlib.suppress(IndexError):  # a signal may empty the queue at any moment
                return self._share.take(self._store.plan.fingerprint, self._pending, self._store.missing)
            return None

    def _keep(self, unit: int, result: UnitResult, notes: dict) -> None:
        try:
            self._store.check_there()
            if self._share.commits(unit):
                finished_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                self._store.commit(unit, result, {**notes, "finished": finished_at})
        except Exception as error:
            error.add_note(f"while committing unit {unit} of {self._store.plan.name}")
            self._fail(error)
            return
        self._computed += 1
        self._progress.unit_done(self._store.plan.unit_rows[unit])

    def _merge(self, complete: bool) -> Path | None:
        """The table, if all units are there; `complete`: it was there when the run began."""
        self._store.check_there()
        try:
            with self._store.turn():
                mine = not self._store.is_merged
                table = self._store.merge()
            self._share.leads = self._share.first_of_those_running() if complete else mine
            return table
        except Exception as error:
            if not is_disk_full(error):
                self._store.check_there()
                raise
            self._stop("disk")
            return None

    def _fail(self, error: BaseException) -> None:
        if is_disk_full(error):
            self._stop("disk")
        elif is_out_of_memory(error):
            self._stop("memory")
            self._progress.event("memory", " ".join(str(error).split())[:_LONGEST_ERROR])
        else:
            self._error = self._error or self._gone() or error
            self._pending.clear()

    def _gone(self) -> FileNotFoundError | None:
        """The reason for whatever else failed, where the workdir is not there any more."""
        try:
            self._store.check_there()
        except FileNotFoundError as gone:
            return gone
        return None

    def _stop(self, reason: Stopped) -> None:
        self._stopped = self._stopped or reason
        self._pending.clear()

    def _tick(self, interrupt: Interrupt) -> None:
        """Reports. A signal is announced here, as a handler may not write to a stream that is being written to."""
        name = interrupt.unannounced()
        if name:
            self._progress.event("signal", f"{name}: stopping after the units in flight; again to stop at once")
        self._progress.tick()
        self._others.watch(self._store.missing)
