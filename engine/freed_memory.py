"""Freed memory is kept for the next array, not given back to the system.

The GNU allocator maps every array of more than 32 MB anew and gives it back when it is freed. A program that runs again
and again then meets fresh pages every time, in its results, its temporaries and the host's copies of them: each is
cleared and mapped at its first touch, at 0.5 to 2 GB a second, which is slower than most of what is computed on a CPU.
Kept, the same memory serves again. What a process holds between programs is what it held at its peak.

The allocator's own settings win where they are in the environment (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_,
MALLOC_ARENA_MAX, GLIBC_TUNABLES).
"""

import ctypes
import os

# Larger arrays, which are weights and stores more than results, are mapped and given back as before. Records of all
# features of 256 rows come to 1 GiB.
LARGEST = 3 << 29
# As <malloc.h> numbers what can be set.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MOST_ARENAS = -1, -3, -8
_NEVER = 2**31 - 1
_SET_BY = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Keep what this process frees from now on; drivers do so by themselves.

    Returns:
        Whether it is kept: not under another allocator, nor where the environment settles it.
    """
    if any(os.environ.get(name) for name in _SET_BY):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    # Arenas of threads cannot grow beyond 64 MB, and what is larger is mapped; so threads share the one that can.
    chosen = {_MMAP_THRESHOLD: LARGEST, _TRIM_THRESHOLD: _NEVER, _MOST_ARENAS: 1}
    return all(set_option(option, value) for option, value in chosen.items())
