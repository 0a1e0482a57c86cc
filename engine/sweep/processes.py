"""Several processes that compute one run together, each its share of the units of one workdir.

    with joined(Worker(2, 4), Path("runs/sweep")):       # this process is the third of four
        cw.patch_sweep(..., workdir="runs/sweep")        # computes units 2, 6, 10, ... of each phase

A process alone computes everything. The processes of a crew meet in one folder and compute the same phases (sweeps) in
the same order. Whoever needs a phase needs all its units, so a process that has computed its own waits for those of
the others; when all are there the phase is over for everyone, and everyone goes on with the same numbers. What is
written at the end (`results_by_one`) is written by the process that put the last phase together; the others are done
before.

Which process computed a unit changes nothing in the data: they are those of one process, byte for byte, as long as all
processes have one kind of device and one version of jax.
"""

import abc
import contextlib
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.engine.sweep import durable, locks

if TYPE_CHECKING:
    from causeway.engine.sweep.plan import Plan

# While the others leave a finished phase, whoever writes the results waits for them.
PATIENCE_SECONDS = 60.0
_WORKER = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)
_LOCK = re.compile(r"\.worker-(\d+)-of-(\d+)\.lock", re.ASCII)


class ShareDone(Exception):
    """This process has done its share, and another one writes the results."""


class Share:
    """What a process computes: everything. Crews are subclasses.

    Attributes:
        name: of this process among the others; "" for one alone.
        crew: in words, equal for those that may write one workdir together; "" for one alone.
        retakes: whether units that were another process's may fall to this one while it waits.
        leads: whether this process writes the results, as the last phase has decided; None before there was one.
        patience: seconds that it waits for the others to leave a folder then.
    """

    name = ""
    crew = ""
    retakes = False

    def __init__(self) -> None:
        self.leads: bool | None = None
        self.patience = 0.0

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return not self.crew

    def own(self, units: Sequence[int]) -> list[int]:
        """Those of the units that may fall to this process."""
        return list(units)

    def take(self, fingerprint: str, pending: deque[int], missing: Callable[[], list[int]]) -> int | None:
        """The next unit for this process to compute.

        Args:
            fingerprint: of the plan. pending: units that may fall to this process; a stop empties it.
            missing: gives the units that are not in the workdir now.
        """
        return pending.popleft() if pending else None

    def commits(self, unit: int) -> bool:
        """Whether this process writes a unit that it has computed."""
        return True

    def ready(self) -> None:
        """Said before the first unit: what is damaged of the units that this process commits is removed.

        Raises:
            ValueError: another process, without which no unit can be computed, ended.
        """

    def lacking(self, units: Sequence[int]) -> list[str]:
        """Names of the processes that these units wait for and that do not run."""
        return []

    def having(self, units: Sequence[int]) -> list[str]:
        """Names of the other processes that have these units."""
        return []

    def agree(self, plan: "Plan") -> None:
        """Compares the plan of the next phase with those of the others, where there is a way before the workdir.

        Raises:
            ValueError: they differ.
        """

    def first_of_those_running(self) -> bool:
        """Whether this is the process that writes results where none of them had anything to compute."""
        return True

    @contextlib.contextmanager
    def present(self, folder: Path) -> Iterator[None]:
        """Known to the others as running, while the block lasts.

        Raises:
            ValueError: another crew, or this very process again, runs in the folder.
        """
        yield


class Striped(Share):
    """One of `count` processes: it computes the units that leave its number when divided by theirs.

    Raises:
        ValueError: no such process.
    """

    kind = ""

    def __init__(self, index: int, count: int):
        super().__init__()
        self.index, self.count = index, count
        if not 0 <= index < count:
            raise ValueError(f"{self.kind}: got {index} of {count}; needs a number from 0 to one less than how many")

    @property
    def name(self) -> str:  # type: ignore[override]
        """Of this process among the others."""
        return self.name_of(self.index)

    def name_of(self, index: int) -> str:
        """Of one of the processes."""
        return f"{self.kind} {index}/{self.count}"

    def own(self, units: Sequence[int]) -> list[int]:
        """Each count-th unit."""
        return [unit for unit in units if unit % self.count == self.index]

    def having(self, units: Sequence[int]) -> list[str]:
        """Names of the other processes that have these units."""
        return [self.name_of(index) for index in self._having(units)]

    def lacking(self, units: Sequence[int]) -> list[str]:
        """Names of those that have these units and do not run."""
        return [self.name_of(index) for index in self._having(units) if not self.runs(index)]

    def _having(self, units: Sequence[int]) -> list[int]:
        return sorted({unit % self.count for unit in units} - {self.index})

    def first_of_those_running(self) -> bool:
        """Whether no process of a lower number runs."""
        return not any(self.runs(index) for index in range(self.index))

    @abc.abstractmethod
    def runs(self, index: int) -> bool:
        """Whether one of the others runs."""


class Worker(Striped):
    """A process that knows nothing of the others but the folder in which they meet.

    Raises:
        ValueError: no such worker.
    """

    kind = "worker"

    @classmethod
    def read(cls, text: str) -> "Worker":
        """The worker i/n.

        Raises:
            ValueError: not of this form, or no such worker.
        """
        found = _WORKER.fullmatch(text)
        if not found or int(found[1]) >= int(found[2]):
            raise ValueError(f"worker: got {text!r}; needs i/n with i from 0 to n-1, such as 0/4")
        return cls(int(found[1]), int(found[2]))

    @property
    def crew(self) -> str:  # type: ignore[override]
        """Who may write one workdir together."""
        return f"{self.count} workers (--worker=i/{self.count})"

    @contextlib.contextmanager
    def present(self, folder: Path) -> Iterator[None]:
        """Holds this worker's lock in the folder.

        Raises:
            ValueError: this worker runs already, or one of another number of workers does.
        """
        self._folder = folder
        # Others look whether the lock is held, which holds it for an instant.
        with locks.exclusive(self._lock(self.index), patience=1.0):
            for path in folder.glob(".worker-*.lock"):
                other = _LOCK.fullmatch(path.name)
                if other and int(other[2]) != self.count and locks.is_held(path):
                    raise ValueError(
                        f"worker: got {self.index}/{self.count}, but worker {other[1]}/{other[2]} runs in {folder}; "
                        f"give i/{other[2]}, or wait for it"
                    )
            yield

    def runs(self, index: int) -> bool:
        """Whether one of the others runs: whether its lock is held."""
        return locks.is_held(self._lock(index))

    def _lock(self, index: int) -> Path:
        return self._folder / f".worker-{index}-of-{self.count}.lock"


_SHARE: ContextVar[Share] = ContextVar("share")


def share() -> Share:
    """What this process computes."""
    return _SHARE.get(None) or Share()


@contextlib.contextmanager
def joined(own: Share, folder: Path) -> Iterator[None]:
    """Makes this process one of a crew while the block lasts.

    Args:
        own: its share. folder: where the crew meets, which all of them see; made where it is not there.

    Raises:
        ValueError: see `Share.present`.
        ShareDone: from within, where another process writes the results.
    """
    durable.make_folder(folder)
    with own.present(folder.absolute()):
        token = _SHARE.set(own)
        try:
            yield
        finally:
            _SHARE.reset(token)


def results_by_one() -> None:
    """Goes on in the one process of a crew that writes the results, which works alone from here on.

    Raises:
        ShareDone: in all others.
    """
    own = share()
    if own.alone:
        return
    if not (own.first_of_those_running() if own.leads is None else own.leads):
        raise ShareDone(f"{own.name} is done: every unit is finished, and another one writes the results")
    last = Share()
    last.patience = PATIENCE_SECONDS
    _SHARE.set(last)
