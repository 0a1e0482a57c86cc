"""What the device reaches in this process: products of matrices and copies, which other figures are held against.

gemm_*    a product as decoding has it (`gemm`), and a large square one, in float32 and where it pays in bfloat16
copy      an array read once and written once, in bytes of both a second; much larger than any cache
"""

import jax
import jax.numpy as jnp

from causeway.engine.bench.clock import now
from causeway.engine.bench.gemm import gemm_rate

# Bytes that are copied, and the sides of a large product, on a CPU and elsewhere.
COPIED = {"cpu": 1 << 28}
SIDES = {"cpu": 1024}


def measure_rates(seconds: float = 0.3) -> dict[str, float]:
    """Each rate over at least so many seconds; 16-bit products are no faster on a CPU and left out there."""
    platform = jax.default_backend()
    side = SIDES.get(platform, 8192)
    figures = {
        "gemm_gflops": gemm_rate(seconds=seconds) / 1e9,
        "gemm_gflops_large": gemm_rate(side, side, side, seconds=seconds) / 1e9,
        "copy_gb_per_second": copy_rate(COPIED.get(platform, 1 << 31), seconds) / 1e9,
    }
    if platform != "cpu":
        figures["gemm_gflops_large_bfloat16"] = gemm_rate(side, side, side, dtype="bfloat16", seconds=seconds) / 1e9
    return figures


def copy_rate(size: int, seconds: float = 0.3) -> float:
    """Bytes read and written a second by a copy of `size` bytes."""
    copy = jax.jit(lambda x: x + 1)  # a plain copy may be left out by the compiler
    x = jax.block_until_ready(jnp.zeros(size // 4, jnp.float32))
    jax.block_until_ready(copy(x))
    start, calls = now(), 0
    while now() - start < seconds:
        jax.block_until_ready(copy(x))
        calls += 1
    return 2 * size * calls / (now() - start)
