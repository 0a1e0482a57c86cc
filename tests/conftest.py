"""Shared fixtures. Devices are forced before jax is imported, so that multi-device tests run on any machine.

Most of the time is compilation, so all processes of a run, workers and the drivers they start, share one compilation
cache; it goes with the run unless JAX_COMPILATION_CACHE_DIR names a folder to keep it in, for this machine only.

Slow tests are sampled: a third of them runs, another third every week; of a large grid, marked `slow(weeks=9)`, a
ninth. `pytest --slow=all` runs all, `none` none.
"""

import atexit
import datetime
import gc
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
# Workers inherit the variable, so that only the process that starts them makes the folder and removes it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="causeway_tests_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Tracing makes many objects that live on; collecting them as often as is usual was 7 % of a profiled file.
gc.set_threshold(100_000, 50, 100)


def pytest_addoption(parser):
    parser.addoption("--slow", choices=("sample", "all", "none"), default="sample", help="Which slow tests to run.")


def pytest_collection_modifyitems(config, items):
    """Leave out the slow tests that are not this week's."""
    choice, week = config.getoption("--slow"), datetime.date.today().isocalendar().week
    if choice == "all":
        return
    for item in items:
        slow = item.get_closest_marker("slow")
        if slow and (choice == "none" or (zlib.crc32(item.nodeid.encode()) + week) % slow.kwargs.get("weeks", 3)):
            item.add_marker(pytest.mark.skip(reason="slow: not in this week's sample; --slow=all runs it"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real models and texts, or a skip that says where it was looked for."""
    candidates = [os.environ.get("CAUSEWAY_DATA"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    for candidate in candidates:
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("real data not found: set CAUSEWAY_DATA or put it at ../shared/data")
