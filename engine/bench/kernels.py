"""Each fused operation at real sizes, in each of its implementations, against rates of this process.

    gemm_fraction    the time that its products take at the rate of a matrix product, of the time that it takes
    copy_fraction    the time that its bytes take at the rate of a copy of a large array, likewise; above 1 where the
                     cache serves what a copy fetches from memory

The larger says what bounds it. On a CPU plain XLA alone is measured, at the sizes of a model of width 512: Pallas is
interpreted there, which says nothing of its speed. On a GPU every implementation is, at every size, and the speed-up
that a Pallas kernel needs to become the default is 1.3.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax

from causeway.engine.bench.clock import now
from causeway.engine.bench.rates import measure_rates
from causeway.engine.precision import full_precision
from causeway.kernels.shapes import CASES, IMPLEMENTATIONS, Case

LAPTOP = "d512"


def measure_kernels(repeats: int) -> dict[str, float]:
    """Of each operation and size, milliseconds of each implementation and the fractions of both rates.

    Time is of the process on a CPU, so that other processes do not show, and of the wall elsewhere.
    """
    figures = rates = measure_rates()
    for name, case, implementations in _cases(jax.default_backend() == "cpu"):
        seconds = {each: _seconds(case, each, repeats) for each in implementations}
        for each, one in seconds.items():
            reached = {
                "ms": 1e3 * one, "gemm_fraction": case.operations / _gflops(case, rates) / one / 1e9,
                "copy_fraction": case.bytes / rates["copy_gb_per_second"] / one / 1e9,
            }  # fmt: skip
            figures = figures | {f"{name}.{each}_{figure}": value for figure, value in reached.items()}
        if "pallas" in seconds:
            figures = figures | {f"{name}.pallas_speedup": seconds["xla"] / seconds["pallas"]}
    return figures


def _gflops(case: Case, rates: dict[str, float]) -> float:
    """What a product of the case's dtype reaches."""
    sixteen = rates.get("gemm_gflops_large_bfloat16") if case.dtype == "bfloat16" else None
    return sixteen or max(rates["gemm_gflops"], rates["gemm_gflops_large"])


def _cases(laptop: bool) -> Iterator[tuple[str, Case, tuple[str, ...]]]:
    """Cases by name, and the implementations measured of each."""
    for operation, sizes in CASES.items():
        for size, case in sizes.items():
            if size == LAPTOP or not laptop:
                yield f"{operation}_{size}", case, IMPLEMENTATIONS[:1] if laptop else IMPLEMENTATIONS


def _seconds(case: Case, implementation: str, repeats: int) -> float:
    """Of one call, by the fastest of `repeats` runs of as many calls as take a twentieth of a second."""
    work = jax.jit(full_precision(partial(case.operation, implementation=implementation)))
    arguments = case.draw()
    once = _run(lambda: work(*arguments), 2) / 2
    calls = max(1, math.ceil(0.05 / once))
    return min(_run(lambda: work(*arguments), calls) for _ in range(repeats)) / calls


def _run(work: Callable[[], Any], calls: int) -> float:
    jax.block_until_ready(work())
    start = now()
    for _ in range(calls):
        found = work()
    jax.block_until_ready(found)
    return now() - start
