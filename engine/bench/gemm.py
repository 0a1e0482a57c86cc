"""The rate of matrix products in this process: what a computation's own rate is measured against.

The product has the shape of a decode step's largest one (rows x d_model by d_model x wide), because small products
run slower than large ones and a fraction of an unreachable rate says little.
"""

import jax
import jax.numpy as jnp

from causeway.engine.bench.clock import now
from causeway.engine.precision import full_precision


def gemm_rate(
    rows: int = 128, inner: int = 512, outer: int = 4096, *, dtype: str = "float32", seconds: float = 0.3
) -> float:
    """Floating-point operations per second of one product [rows, inner] @ [inner, outer].

    Counted in process time on CPU (so that other processes do not show), in wall time elsewhere.
    """
    keys = jax.random.split(jax.random.key(0), 2)
    a, b = (
        jax.random.normal(key, shape).astype(dtype)
        for key, shape in zip(keys, ((rows, inner), (inner, outer)), strict=True)
    )
    product = jax.jit(full_precision(jnp.matmul))
    product(a, b).block_until_ready()
    start, calls = now(), 0
    while now() - start < seconds:
        for _ in range(8):
            out = product(a, b)
        out.block_until_ready()
        calls += 8
    return 2 * rows * inner * outer * calls / (now() - start)
