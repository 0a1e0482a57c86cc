"""How fast loading is, against a plain read of the same files, and how much memory it needs beside its result.

    load    what is measured: files to finished arrays on the device
    read    the baseline: `open(file, "rb").read()` of every file, one after the other, all kept
    reuse   the same bytes into one buffer of 8 MiB over and over: no memory is touched for the first time

    read_fraction        rate of load / rate of read; reuse_fraction likewise
    cpu_fraction         the same in seconds of CPU time, which other processes disturb less: read / load
    peak_over_resident   (peak RSS - RSS before - bytes of the result) / bytes of the largest tensor
    first_gb             the rate of the first load of a process, in memory that nobody used before

The files are in the page cache. The first touch of new memory costs more than anything else, and on virtual machines
ten times more where the host has to find that memory first than where a process has just given it back. So the three
take turns in one process, where each finds what the one before it gave back; the first turn is left out, and medians
of the others are compared. Memory is measured in a process of its own, which loads once.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

BUFFER_BYTES = 1 << 23

Load = Callable[[], Any]


def measure_rates(load: Load, files: Sequence[Path], turns: int) -> dict[str, float]:
    """Loading against reading, by turns in this process.

    Args:
        load: makes the arrays. files: what it reads. turns: counted ones; one more goes before them.
    """
    works = {
        "load": lambda: jax.block_until_ready(load()),
        "read": lambda: [file.read_bytes() for file in files],
        "reuse": lambda: _into_buffer(files),
    }
    jax.devices()
    _into_buffer(files)  # the files are in the page cache from here on
    size = sum(file.stat().st_size for file in files)
    found = [{name: _seconds(work) for name, work in works.items()} for _ in range(turns + 1)][1:]
    wall, cpu = ({name: statistics.median(turn[name][i] for turn in found) for name in works} for i in range(2))
    return {
        "gb": size / wall["load"] / 1e9,
        "read_gb": size / wall["read"] / 1e9,
        "reuse_gb": size / wall["reuse"] / 1e9,
        "read_fraction": wall["read"] / wall["load"],
        "reuse_fraction": wall["reuse"] / wall["load"],
        "cpu_fraction": cpu["read"] / cpu["load"],
    }


def measure_memory(load: Load, files: Sequence[Path], largest: int) -> dict[str, float]:
    """One load in a process that has used little memory before.

    Args:
        load: makes the arrays. files: what it reads. largest: bytes of their largest tensor.
    """
    jax.devices()
    _into_buffer(files)
    before, made = _resident(), []
    wall, _ = _seconds(lambda: made.append(jax.block_until_ready(load())))
    result = sum(leaf.nbytes for leaf in jax.tree.leaves(made))
    size = sum(file.stat().st_size for file in files)
    return {"peak_over_resident": (_peak() - before - result) / largest, "first_gb": size / wall / 1e9}


def _seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Of wall time and of CPU time; what the work made is freed afterwards."""
    wall, cpu = time.perf_counter(), time.process_time()
    kept = work()
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    del kept
    return seconds


def _into_buffer(files: Sequence[Path]) -> None:
    buffer = bytearray(BUFFER_BYTES)
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def _resident() -> int:
    """Bytes of this process in memory; where the system does not tell, the most there ever were."""
    return _status("VmRSS")


def _peak() -> int:
    """Most bytes of this process in memory so far."""
    return _status("VmHWM")


def _status(field: str) -> int:
    """A size from Linux's account of this process, elsewhere the peak that `getrusage` knows.

    On Linux that one counts what the process was before it began to run this program: a copy of its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
