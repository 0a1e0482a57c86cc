"""The clock of benchmarks: time of this process on a CPU, so that other processes do not show; elsewhere wall time."""

import time

import jax


def now() -> float:
    """Seconds, of which differences count; what is timed must have been waited for."""
    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()
