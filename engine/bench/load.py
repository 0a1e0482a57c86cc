"""How fast loading is, against a plain read of the same files, and how much memory it needs beside its result.

Each step runs in a process of its own, so that all begin alike: jax imported, no large memory touched before, the
files in the page cache.

    load    what is measured: files to finished arrays on the device
    read    the baseline: `open(file, "rb").read()` of every file, one after the other, all kept
    reuse   the same bytes into one buffer of 8 MiB over and over: no memory is touched for the first time

    read_fraction        rate of load / rate of read; reuse_fraction likewise
    cpu_fraction         the same in seconds of CPU time, which other processes disturb less: read / load
    peak_over_resident   (peak RSS - RSS before - bytes of the result) / bytes of the largest tensor

On virtual machines the first touch of new memory costs more than anything else and varies from minute to minute, for
`read` as for `load`, and what another process just gave back comes cheaper; so steps take turns, start after a pause,
and medians are compared.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

BUFFER_BYTES = 1 << 23
# After which memory that was given back is as cold as any other.
PAUSE_SECONDS = 3
STEPS = ("load", "read", "reuse")

Step = Mapping[str, float]


def measure_step(step: str, load: Callable[[], Any], files: Sequence[Path], largest: int) -> Step:
    """One step in this process.

    Args:
        step: one of `STEPS`. load: makes the arrays. files: what it reads. largest: bytes of their largest tensor.

    Returns:
        Bytes a second of wall time and of CPU time, and for `load` peak_over_resident.
    """
    jax.devices()
    _into_buffer(files)  # the files are in the page cache from here on
    size = sum(file.stat().st_size for file in files)
    time.sleep(PAUSE_SECONDS)
    if step == "reuse":
        return _rates(size, lambda: _into_buffer(files))
    if step == "read":
        return _rates(size, lambda: [file.read_bytes() for file in files])
    before, made = _resident(), []
    rates = _rates(size, lambda: made.append(jax.block_until_ready(load())))
    result = sum(leaf.nbytes for leaf in jax.tree.leaves(made))
    return rates | {"peak_over_resident": (_peak() - before - result) / largest}


def figures(steps: Mapping[str, Sequence[Step]]) -> dict[str, float]:
    """The figures of one kind of files from the repetitions of every step."""
    rates = {name: statistics.median(run["rate"] for run in runs) for name, runs in steps.items()}
    cpu = {name: statistics.median(run["cpu_rate"] for run in runs) for name, runs in steps.items()}
    return {
        "gb": rates["load"] / 1e9,
        "read_gb": rates["read"] / 1e9,
        "reuse_gb": rates["reuse"] / 1e9,
        "read_fraction": rates["load"] / rates["read"],
        "reuse_fraction": rates["load"] / rates["reuse"],
        "cpu_fraction": cpu["load"] / cpu["read"],
        "peak_over_resident": max(run["peak_over_resident"] for run in steps["load"]),
    }


def _rates(size: int, work: Callable[[], Any]) -> dict[str, float]:
    start, cpu = time.perf_counter(), time.process_time()
    kept = work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    del kept  # freeing is not part of it
    return {"rate": size / seconds, "cpu_rate": size / cpu}


def _into_buffer(files: Sequence[Path]) -> None:
    buffer = bytearray(BUFFER_BYTES)
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def _resident() -> int:
    """Bytes of this process in memory; where the system does not tell, the most there ever were."""
    status = Path("/proc/self/status")
    if not status.exists():
        return _peak()
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def _peak() -> int:
    """Most bytes of this process in memory so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
