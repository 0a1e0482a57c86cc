"""Processes of `jax.distributed` that compute one run together.

jax finds the processes (on SLURM, Open MPI and Kubernetes by itself) and gives them a coordinator, process 0: a store
of keys and values that all of them reach. Through it they say that they run (a beat every few seconds) and compare the
plan of each phase before anything of it is computed. Units are striped over processes, and rows of a unit lie on the
process's own devices, so that nothing but this goes over the network; the data meet in the workdir.

A process that is lost costs its units in flight: the others finish theirs and then stop, saying who is missing. A
coordinator that is lost makes jax abort the others, from C++, which is told in one line of ours after jax's own. Either
way the same commands go on where they stopped.
"""

import contextlib
import ctypes
import functools
import json
import math
import signal
import socket
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from causeway.engine.sweep.differences import differing_fields, in_words
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.processes import ShareDone, Striped

MEETING_SECONDS = 50
LOST_SECONDS = 20.0
_BEAT_SECONDS, _LOOK_SECONDS = 3.0, 0.2
# How long process 0, after an error, waits for the others to tell theirs.
_ERROR_SECONDS = 10.0
_END, _DONE = "end", "done"
_ABORTED = (
    "aborted, mostly because process 0, which coordinates, is lost; finished units stay: start all processes again to "
    "resume"
)
# At its first use a backend of CPUs waits so long for what the others say of their devices.
_TOPOLOGY_MINUTES = ("jax_cpu_get_local_topology_timeout_minutes", "jax_cpu_get_global_topology_timeout_minutes")


class Process(Striped):
    """One of the processes of `jax.distributed`, which is initialised.

    Args:
        client: of the coordination service. address: of the coordinator, in words.
    """

    kind = "process"

    def __init__(self, index: int, count: int, client: Any, address: str):
        super().__init__(index, count)
        self.client, self.address = client, address
        self._phase = 0
        self._beats: dict[int, tuple[str, float]] = {}
        self._last = _END
        self._over = threading.Event()

    @property
    def crew(self) -> str:  # type: ignore[override]
        """Who may write one workdir together."""
        return f"{self.count} processes that meet at {self.address}"

    def runs(self, index: int) -> bool:
        """Whether one of the others has said so of late."""
        beat = self._value(f"beat/{index}") or ""
        before, since = self._beats.get(index, ("", time.monotonic()))
        if beat != before or index not in self._beats:
            self._beats[index] = (beat, time.monotonic())
            return True
        return beat not in (_END, _DONE) and time.monotonic() - since < LOST_SECONDS

    def lost(self) -> list[int]:
        """Those of the others that do not run any more and had not come to their end."""
        others = [index for index in range(self.count) if index != self.index and not self.runs(index)]
        return [index for index in others if self._value(f"beat/{index}") != _DONE]

    @contextlib.contextmanager
    def present(self, folder: Path) -> Iterator[None]:
        """Says that this process runs; process 0 leaves last, as it coordinates.

        Raises:
            ValueError: the folder is not the same one for all processes.
        """
        import jax

        beating = threading.Thread(target=self._beat, daemon=True)
        beating.start()
        patience = _ERROR_SECONDS
        try:
            self._check_same(folder)
            yield
            patience, self._last = math.inf, _DONE
        except ShareDone:
            patience, self._last = math.inf, _DONE
            raise
        except KeyboardInterrupt:
            patience = 0.0
            raise
        finally:
            self._over.set()
            beating.join()
            self._leave_last(time.monotonic() + patience)
            with contextlib.suppress(RuntimeError):  # what becomes of the meeting matters to nobody now
                jax.distributed.shutdown()

    def _leave_last(self, until: float) -> None:
        """Others that are told of an error by its like in process 0 shall be able to say so."""
        others = range(1, self.count) if self.index == 0 else ()
        while time.monotonic() < until and any(self.runs(other) for other in others):
            time.sleep(_LOOK_SECONDS)

    def meet(self, find_devices: Callable[[], object], mesh: str = "none") -> None:
        """Compares how many processes each was told to be one of, and on which mesh, then finds the devices of all.

        Args:
            find_devices: the first use of a device, which waits for what all processes say of theirs.
            mesh: that the run asks for, in words.

        Raises:
            ValueError: the numbers or meshes differ, or a process ended at once.
        """
        try:
            # First, as jax would wait for those that nobody starts.
            self._compare("processes", str(self.count), "it said of how many it is", "number")
            self._compare("mesh", mesh, "it said on which mesh it runs", "mesh")
            find_devices()
        except (ValueError, RuntimeError) as error:
            self._say_beat(_END)
            self._leave_last(time.monotonic() + _ERROR_SECONDS)
            if isinstance(error, ValueError):
                raise
            raise ValueError(
                f"{self.name}: the devices of all processes did not become known ({error}); what the others say tells "
                "why; start all again"
            ) from None

    def _compare(self, flag: str, own: str, what: str, noun: str) -> None:
        self.client.key_value_set(f"{flag}/{self.index}", own)
        for other in range(self.count):
            if (theirs := self.awaited(f"{flag}/{other}", other, what)) != own:
                raise ValueError(
                    f"{flag}: got {own} in process {self.index}, but {theirs} in process {other}; give all of them the "
                    f"same {noun}"
                )

    def agree(self, plan: Plan) -> None:
        """Compares the plan of the next phase with those of the others.

        Raises:
            ValueError: they differ, or a process ended before it had one.
        """
        self._phase += 1
        place, described = f"plan/{self._phase}", plan.describe()
        self.client.key_value_set_bytes(
            f"{place}/described/{self.index}", zlib.compress(json.dumps(described).encode())
        )
        self.client.key_value_set(f"{place}/{self.index}", plan.fingerprint)
        for other in range(self.count):
            if self.awaited(f"{place}/{other}", other, "its plan was known") == plan.fingerprint:
                continue
            theirs = json.loads(zlib.decompress(self.client.key_value_try_get_bytes(f"{place}/described/{other}")))
            words = in_words(differing_fields(theirs, described), "there", "here")
            raise ValueError(
                f"{self.name} does not compute what {self.name_of(other)} does: {words}; give all of them the same "
                "command"
            )

    def _check_same(self, folder: Path) -> None:
        """Process 0 writes a file that the others look for."""
        with contextlib.ExitStack() as stack:
            if self.index == 0:
                mark = Path(stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix=".meeting-")).name)
                self.client.key_value_set("meeting", mark.name)
            there = (folder / self.awaited("meeting", 0, "it wrote to the workdir")).exists()
            self.client.key_value_set(f"meeting/{self.index}", "yes" if there else "no")
            seen = [self.awaited(f"meeting/{other}", other, "it looked there") for other in range(self.count)]
        if blind := [self.name_of(other) for other, answer in enumerate(seen) if answer == "no"]:
            raise ValueError(
                f"workdir: {folder} is not the same folder for {', '.join(blind)} as for {self.name_of(0)}; needs one "
                "on a disk that all machines share"
            )

    def _beat(self) -> None:
        """In a thread of its own, until the process is over: says that it is."""
        count = 0
        while not self._over.is_set():
            self._say_beat(str(count))
            count += 1
            self._over.wait(_BEAT_SECONDS)
        self._say_beat(self._last)

    def _say_beat(self, beat: str) -> None:
        with contextlib.suppress(RuntimeError):  # a coordinator that is gone ends the process anyway
            self.client.key_value_set(f"beat/{self.index}", beat, allow_overwrite=True)

    def _value(self, key: str) -> str | None:
        try:
            return self.client.key_value_try_get(key)
        except RuntimeError:  # no such key: of one kind with all of jaxlib's errors
            return None

    def awaited(self, key: str, other: int, what: str, look: float | None = None) -> str:
        """A value that another process gives, however long it takes as long as that one runs; looked for so often."""
        while (value := self._value(key)) is None:
            if not self.runs(other):
                raise ValueError(f"{self.name_of(other)} ended before {what}; what it says tells why; start all again")
            time.sleep(look or _LOOK_SECONDS)
        return value


def connect(
    coordinator: str | None, count: int | None, index: int | None, aborted: Callable[[str, bool], object],
    mesh: str = "none",
) -> Process:  # fmt: skip
    """Meets the other processes, before anything else of jax is used, and finds the devices of all.

    Args:
        coordinator: HOST:PORT of process 0; None, as the others, where the cluster tells.
        count: how many processes. index: which one this is.
        aborted: called when jax is about to abort this process, with a line that says what is wrong and whether the
            processes had met; ends it.
        mesh: that the run asks for, in words.

    Raises:
        ValueError: something is neither given nor told by the cluster, process 0 cannot listen, the processes were
            told different numbers of them or different meshes, or one was lost before the devices of all were known.
    """
    import jax
    from jax._src.distributed import global_state as found

    if coordinator and index == 0:
        _check_free(coordinator)
    _when_aborted(lambda: aborted("the other processes did not all come within a minute; start them together", False))
    jax.config.update("jax_enable_recoverability", True)
    jax.config.update("jax_enable_preemption_service", False)
    for name in _TOPOLOGY_MINUTES:
        jax.config.update(name, 1)
    try:
        jax.distributed.initialize(
            coordinator, count, index, initialization_timeout=MEETING_SECONDS,
            heartbeat_timeout_seconds=int(LOST_SECONDS), shutdown_timeout_seconds=int(LOST_SECONDS),
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(
            f"coordinator: no cluster says which process this is ({error}); give HOST:PORT, --processes and --process"
        ) from None
    except RuntimeError as error:
        raise _not_met(found, error) from None
    # A coordinator that is aborted has reasons of its own.
    _when_aborted(functools.partial(aborted, _ABORTED, True) if found.process_id else None)
    own = Process(found.process_id, found.num_processes, found.client, str(found.coordinator_address))
    own.meet(jax.local_devices, mesh)
    return own


def _check_free(address: str) -> None:
    """Listens for an instant where process 0 will: jaxlib, which then cannot, mostly crashes."""
    port, six = int(address.rpartition(":")[2]), socket.has_dualstack_ipv6()
    try:
        kind = socket.AF_INET6 if six else socket.AF_INET
        socket.create_server(("", port), family=kind, dualstack_ipv6=six).close()
    except (OSError, OverflowError) as error:
        raise _cannot_listen(address, error) from None


def _cannot_listen(address: str, error: Exception) -> ValueError:
    return ValueError(f"coordinator: got {address}, where nothing can listen ({error}); give a free port")


def _not_met(found: Any, error: RuntimeError) -> ValueError:
    """What it means that jax could not begin, by how far it came."""
    if found.process_id == 0 and found.service is None:
        return _cannot_listen(found.coordinator_address, error)
    return ValueError(
        f"coordinator: got {found.coordinator_address}, which does not take this process ({error}); give each a "
        "number of its own, all of them the same --processes, and start them together"
    )


_SIGNAL_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_HELD: list[Any] = []


def _when_aborted(tell: Callable[[], object] | None) -> None:
    """Calls `tell` in the thread that aborts this process; a handler of Python's would wait for the main thread."""
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    if tell is None:
        set_handler(signal.SIGABRT, int(signal.SIG_DFL))
        return
    handler = _SIGNAL_HANDLER(lambda _: tell())
    _HELD.append(handler)
    set_handler(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
