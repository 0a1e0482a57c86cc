"""Training checkpoints: save and restore a state by step.

    workdir/.lock                     held by the one run that writes
           /checkpoints/250/arrays/   the state after 250 steps (Orbax), leaves under their path names
                           /run.json  the run's identity: its resolved configuration
                           /causeway.sha256

A workdir belongs to one run. Restoring under another identity is refused with the fields that differ, because a resumed
run must be the run that was interrupted. A step is written beside and renamed when all of it is on disk, so a killed
process loses the step being written and nothing else; what it left is removed at the next start. Every file is read
against its checksum before a step is used.

States are any pytrees of arrays (NNX modules and optax states included): leaves stored under their path names make the
files independent of how the containers are registered. Cost: one copy of the state to the host.
"""

import collections
import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax

from causeway.engine.saved_arrays import restore_arrays, save_arrays
from causeway.engine.sweep import locks
from causeway.engine.sweep.checksums import SealedFolder, seal
from causeway.engine.sweep.interrupt import Interrupt, Stopped
from causeway.engine.whole_folder import replacing_folder

State = TypeVar("State")

FOLDER, ARRAYS, RUN = "checkpoints", "arrays", "run.json"


class Checkpoints:
    """The checkpoints of one training run; a context manager that holds the workdir for this process."""

    def __init__(self, workdir: str | Path, identity: Mapping[str, Any], keep: int = 2):
        """Name the workdir and the run; files are touched on entering.

        Args:
            workdir: where the checkpoints are kept.
            identity: JSON-ready configuration of the run; every restored step must carry the same.
            keep: how many of the latest steps stay on disk.
        """
        self._workdir = Path(workdir).absolute()
        self._folder = self._workdir / FOLDER
        self._identity = json.loads(json.dumps(dict(identity)))
        self._keep = keep
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "Checkpoints":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(locks.exclusive(self._workdir / locks.LOCK_FILE))
        for path in self._folder.iterdir():
            if path.suffix == ".partial":
                shutil.rmtree(path)
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    @property
    def latest_step(self) -> int | None:
        """The last complete step, or None in a new workdir."""
        return max(self._steps(), default=None)

    def save(self, step: int, state: Any) -> None:
        """Write a state and wait until it is on disk; a step that is there already is left alone."""
        if step in self._steps():
            return
        with replacing_folder(self._folder / str(step)) as partial:
            save_arrays(partial / ARRAYS, _named_leaves(state))
            (partial / RUN).write_text(json.dumps(self._identity, indent=1) + "\n", encoding="utf-8")
            seal(partial)
        for old in self._steps()[: -self._keep]:
            self._remove(old)

    def restore(self, like: State) -> tuple[int, State] | None:
        """The latest step and its state, or None in a new workdir.

        Args:
            like: a state of the same structure, of arrays or `jax.ShapeDtypeStruct`s.

        Raises:
            ValueError: the workdir belongs to a run of another configuration, or a file of the step is damaged.
        """
        step = self.latest_step
        if step is None:
            return None
        folder = self._folder / str(step)
        SealedFolder(folder, f"delete {folder}, and the same command goes on from the step before").check()
        self._check_identity(json.loads((folder / RUN).read_bytes()))
        wanted = {name: _abstract(leaf) for name, leaf in _named_leaves(like).items()}
        loaded = restore_arrays(folder / ARRAYS, wanted)
        return step, jax.tree.unflatten(jax.tree.structure(like), [loaded[name] for name in wanted])

    def _steps(self) -> list[int]:
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())

    def _remove(self, step: int) -> None:
        """Under another name first: a step that is half removed must not look like one that is damaged."""
        gone = self._folder / f"{step}.partial"
        (self._folder / str(step)).rename(gone)
        shutil.rmtree(gone)

    def _check_identity(self, stored: Mapping[str, Any]) -> None:
        names = sorted(set(stored) | set(self._identity))
        differing = [n for n in names if stored.get(n) != self._identity.get(n)]
        if differing:
            pairs = "; ".join(f"{n}: {stored.get(n)!r} there, {self._identity.get(n)!r} now" for n in differing)
            raise ValueError(
                f"workdir {self._workdir} belongs to another run ({pairs}); "
                "give the same configuration or another directory"
            )


@contextlib.contextmanager
def keeping(
    checkpoints: Checkpoints | None, every: int, steps: int, check: Callable[[int, Any, Any], None]
) -> Iterator[Callable[[int, Any, Any], None]]:
    """Gives what is to be called after every step with (steps done, state, result), so that a run survives and stops
    cleanly, and no state is saved after a result that is no number.

    Args:
        checkpoints: None keeps nothing. every: steps between checkpoints; one is always written at the end.
        steps: of the whole run. check: called with (step, state, result), raises for a step that has gone wrong.

    Raises:
        Stopped: a signal came; the step it came in is saved.
    """
    unseen: collections.deque[tuple[int, Any]] = collections.deque()

    def keep(done: int, state: Any, result: Any) -> None:
        stopping = interrupt is not None and interrupt.requested
        saves = done % every == 0 or done == steps or stopping
        unseen.append((done, result))
        # One step late, so that the device has work while the host waits; but nothing is saved unseen.
        while len(unseen) > (not saves):
            step, seen = unseen.popleft()
            check(step, state, seen)
        if checkpoints is not None and saves:
            checkpoints.save(done, state)
        if stopping:
            raise Stopped(f"stopped by a signal after step {done} of {steps}; rerun the same command to resume")

    with Interrupt() if checkpoints is not None else contextlib.nullcontext() as interrupt:
        yield keep


def _named_leaves(state: Any) -> dict[str, Any]:
    """Leaves by path, in the tree's own order."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape, dtype and placement; a leaf that names its sharding keeps it."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None))
