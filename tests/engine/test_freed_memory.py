"""Memory that was freed serves the next array of its size, unless the environment says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

# How many pages an array of 64 MB meets afresh after another one of that size was freed.
PROGRAM = """
import resource
from causeway.engine.freed_memory import keep_freed_memory
kept = keep_freed_memory()
b"x" * (64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * (64 << 20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(**settings):
    """Whether memory was said to be kept, and the fresh pages."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=own | settings, capture_output=True, text=True, check=True
    )
    kept, fresh = told.stdout.split()
    return kept == "True", int(fresh)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_an_array_meets_no_fresh_pages_where_one_was_freed():
    kept, fresh = run()
    assert kept
    assert fresh < 100


def test_what_the_environment_settles_stays():
    assert not run(MALLOC_MMAP_THRESHOLD_="1048576")[0]
