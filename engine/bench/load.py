"""How fast loading is, against a plain read of the same files, and how much memory it needs beside its result.

    load    what is measured: files to finished arrays on the device
    read    the baseline: `open(file, "rb").read()` of every file, one after the other, all kept
    reuse   the same bytes into one buffer of 8 MiB over and over: no memory is touched for the first time

For each baseline, of those that the caller adds too:

    NAME_gb             bytes of the files / seconds of the baseline; of loading it is `gb`
    NAME_fraction       seconds of the baseline / seconds of loading
    NAME_cpu_fraction   the same in seconds of CPU time, which other processes disturb less

And of memory:

    peak_over_resident  (peak RSS - RSS before - bytes of the result) / bytes of the largest tensor
    peak_fraction       (peak RSS - RSS before) / bytes of the result, which is result_gb
    first_gb            the rate of the first load of a process, in memory that nobody used before

The files are in the page cache. The first touch of new memory costs more than anything else, and on virtual machines
ten times more where the host has to find that memory first than where a process has just given it back, which the host
takes away again after a second or two. So all of them take turns in one process, and before each as much memory as
loading needs is touched and given back; the first turn is left out, and medians of the others are compared. Memory is
measured in a process of its own, which loads once.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

BUFFER_BYTES = 1 << 23

Work = Callable[[], Any]
NO_MORE: Mapping[str, Work] = MappingProxyType({})


def measure_rates(
    load: Work, files: Sequence[Path], turns: int, more: Mapping[str, Work] = NO_MORE
) -> dict[str, float]:
    """Loading against reading, by turns in this process.

    Args:
        load: makes the arrays. files: what it reads. turns: counted ones; one more goes before them.
        more: further baselines by name.
    """
    works = {
        "load": lambda: jax.block_until_ready(load()),
        "read": lambda: [file.read_bytes() for file in files],
        "reuse": lambda: _into_buffer(files),
        **more,
    }
    jax.devices()
    _into_buffer(files)  # the files are in the page cache from here on
    size, needed = sum(file.stat().st_size for file in files), _bytes(load())
    found = [{name: _seconds(work, needed) for name, work in works.items()} for _ in range(turns + 1)][1:]
    wall, cpu = ({name: statistics.median(turn[name][i] for turn in found) for name in works} for i in range(2))
    out = {"gb": size / wall["load"] / 1e9, "seconds": wall["load"], "cpu_seconds": cpu["load"]}
    for name in list(works)[1:]:
        out |= {f"{name}_gb": size / wall[name] / 1e9, f"{name}_fraction": wall[name] / wall["load"]}
        out[f"{name}_cpu_fraction"] = cpu[name] / cpu["load"]
    return out


def measure_memory(load: Work, files: Sequence[Path], largest: int) -> dict[str, float]:
    """One load in a process that has used little memory before.

    Args:
        load: makes the arrays. files: what it reads. largest: bytes of their largest tensor.
    """
    jax.devices()
    _into_buffer(files)
    before, made = _resident(), []
    wall, _ = _seconds(lambda: made.append(jax.block_until_ready(load())))
    result = _bytes(made)
    size = sum(file.stat().st_size for file in files)
    taken = _peak() - before
    return {
        "peak_over_resident": (taken - result) / largest,
        "peak_fraction": taken / result,
        "result_gb": result / 1e9,
        "first_gb": size / wall / 1e9,
    }


def _bytes(made: Any) -> int:
    """Of all arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(made))


def _seconds(work: Work, given_back: int = 0) -> tuple[float, float]:
    """Of wall time and of CPU time; what the work made is freed afterwards.

    Args:
        given_back: bytes that are touched and given back right before.
    """
    np.ones(given_back, np.uint8)
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
