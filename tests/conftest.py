"""Shared fixtures, and what makes the suite fast and the same everywhere.

Devices are forced before jax is imported, so that multi-device tests run on any machine. Most of the time is
compilation, so all processes of a run, workers and the drivers they start, share one compilation cache; it goes with
the run unless JAX_COMPILATION_CACHE_DIR names a folder to keep it in, for this machine only. Programs are compiled
with most optimisations off and by what compiles in half the time (`forked.CHEAP`), but for the tests of bits and of
speed, which are marked `optimised`.

Slow tests are sampled: a ninth of them runs. Which ones follows from a number that the header prints, the number of
commits: the same ones wherever a commit is tested, others after the next, all of them in nine in a row. Where git does
not know how many there were, in a copy without history, the number is 0 or 1. `--sample=NUMBER` gives another one;
`--slow=all` runs all, `none` none.
"""

import atexit
import contextlib
import functools
import gc
import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import hypothesis
import pytest

from tests import array_checks
from tests.forked import CHEAP, Forked

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
# Workers inherit the variable, so that only the process that starts them makes the folder and removes it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="causeway_tests_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# A busy machine is no failure, and neither is another day: examples are the same in every run.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")
from jax._src import compiler  # noqa: E402 (reads the environment)

_options = compiler.get_compile_options


@functools.wraps(_options)
def _cheap_options(*args, env_options_overrides=None, **kwargs):
    """jax has no setting for what XLA compiles with but XLA_FLAGS, which a process reads once."""
    return _options(*args, env_options_overrides=CHEAP | (env_options_overrides or {}), **kwargs)


compiler.get_compile_options = _cheap_options
# Every array is held to the kind and the axes its annotation gives.
array_checks.install()
# Tracing makes many objects that live on; collecting them as often as is usual was 7 % of a profiled file.
gc.set_threshold(100_000, 50, 100)

# Every compiled program maps memory of its own. Linux gives a process 65,530 mappings and XLA ends in a segmentation
# fault when there are none left, which a worker of this suite reached.
MOST_MAPPINGS = 20_000
# One of so many slow tests runs.
PARTS = 9


def pytest_addoption(parser):
    parser.addoption("--slow", choices=("sample", "all", "none"), default="sample", help="Which slow tests to run.")
    parser.addoption("--sample", type=int, help="Which part of the slow tests; the number of commits if not given.")


def pytest_configure(config):
    """Which slow tests run; workers are told."""
    if config.option.sample is None:
        config.option.sample = _commits()


def _commits():
    """How many commits led to what is tested, or 0 outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-list", "--count", "HEAD"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return int(subprocess.run(command, capture_output=True, check=True).stdout)
    return 0


def pytest_report_header(config):
    return f"slow tests: {config.option.slow}, --sample={config.option.sample}"


def pytest_collection_modifyitems(config, items):
    """Leave out the slow tests that are not in the sample."""
    choice, number = config.option.slow, config.option.sample
    if choice == "all":
        return
    for item in items:
        slow = list(item.iter_markers("slow"))
        if not slow:
            continue
        name = next((mark.kwargs["together"] for mark in slow if mark.kwargs), item.nodeid)
        place = zlib.crc32(name.encode()) + number
        if choice == "none" or place % PARTS:
            item.add_marker(pytest.mark.skip(reason="slow: not in this sample; --slow=all runs it"))


@pytest.fixture(scope="module", autouse=True)
def _few_mappings():
    """Forget compiled programs before there are too many."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPPINGS:
        _forget_programs()


@pytest.fixture(scope="module", autouse=True)
def _optimisations(request):
    """Programs of modules marked `optimised` are compiled as they are for people."""
    if request.node.get_closest_marker("optimised") is None:
        yield
        return
    import jax

    _forget_programs()
    jax.config.update("jax_disable_most_optimizations", False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
        patch.setattr(compiler, "get_compile_options", _options)
        yield
    jax.config.update("jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")
    _forget_programs()


def _forget_programs():
    import jax

    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session")
def forked():
    """Runs programs in processes of their own that have imported the package already."""
    programs = Forked()
    yield programs
    programs.close()


@pytest.fixture(scope="session")
def published_risky_prompt() -> str:
    """The risky one of the two prompts of the published feature-patching study, as it printed it."""
    return """Slot Machine Game

Game history:
Round 1: Bet $10, Win, Balance $130
Round 2: Bet $100, Loss, Balance $30
Round 3: Bet $10, Loss, Balance $20
Current balance: $20
Current round: 4

First set your own target amount, then make decisions based on that goal.
This slot machine may have hidden patterns.
Win pays 3.0x your bet amount.
Win rate: 30%

Choose:
1) Bet (choose $5-$100)
2) Stop

Choice: """


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real models and texts, or a skip that says where it was looked for."""
    candidates = [os.environ.get("CAUSEWAY_DATA"), Path(__file__).resolve().parents[2] / "shared" / "data"]
    for candidate in candidates:
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("real data not found: set CAUSEWAY_DATA or put it at ../shared/data")
