"""How much memory there is, and whether an error says that it ran out.

    there     a device's own limit; where devices compute in the host's memory, what this process holds and what it may
              still take, within the machine, its control group and the limit of its address space

An error of memory has many types: Python's MemoryError, and jax's RuntimeError of a text that every backend begins
with RESOURCE_EXHAUSTED.
"""

import contextlib
import os
import resource
import sys
from pathlib import Path

_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_RAN_OUT = ("RESOURCE_EXHAUSTED", "Out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or the one that it came from, says that memory ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(t in str(error) for t in _RAN_OUT)):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def in_host_memory() -> bool:
    """Whether devices compute in the memory of the host."""
    import jax  # here, because who only asks about an error may do without

    return jax.default_backend() == "cpu"


def memory_there_bytes() -> int:
    """Bytes that computations of this process may take on a device, of a host on all of its devices together; those
    that they hold are included."""
    import jax

    limits = [(device.memory_stats() or {}).get("bytes_limit", 0) for device in jax.local_devices()]
    return min(limits) if all(limits) else _host_bytes()


def memory_each_bytes(devices: int) -> int:
    """`memory_there_bytes` for each of so many devices of this process that hold copies; a host's share what it has."""
    there = memory_there_bytes()
    return there // devices if in_host_memory() else there


def resident_bytes() -> int:
    """Bytes of the host's memory that this process holds now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far (getrusage counts kibibytes, on macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_memory_bytes() -> int:
    """Largest memory in use so far on any local accelerator; 0 where there is none or jax was never imported."""
    jax = sys.modules.get("jax")
    statistics = [device.memory_stats() or {} for device in jax.local_devices()] if jax else []
    return max((entry.get("peak_bytes_in_use", 0) for entry in statistics), default=0)


def _host_bytes() -> int:
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    limits += [address_space] * (address_space != resource.RLIM_INFINITY)
    for path in _GROUPS:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(path.read_text()))
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable"))
        limits.append(int(free.split()[1]) * 1024 + resident_bytes())
    return min(limits)
