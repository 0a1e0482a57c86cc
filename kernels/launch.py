"""How a Pallas kernel is started: through Triton on a GPU, interpreted on a CPU.

The platform is that of the program being lowered and not of this process, so that a program compiled for a GPU that is
not there has the kernel in it.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array


def launch(kernel: Callable, *arguments: Array, warps: int = 4, stages: int = 2, **options) -> Any:
    """The kernel's results: what `out_shape` describes.

    Args:
        kernel: as `pl.pallas_call` takes it.
        arguments: of the kernel.
        warps: of a program. stages: of its loops' software pipelines.
        options: of `pl.pallas_call`: grid, in_specs, out_specs, out_shape.
    """
    # The parameters' type is what chooses Triton: without it jax 0.10 lowers for Mosaic, which has no general product.
    call = functools.partial(
        pl.pallas_call, kernel, compiler_params=triton.CompilerParams(num_warps=warps, num_stages=stages), **options
    )
    return jax.lax.platform_dependent(*arguments, cpu=call(interpret=True), default=call(interpret=False))


def next_power(size: int, least: int = 16) -> int:
    """The next power of two, and at least what a tensor core's product takes."""
    return max(least, 1 << (size - 1).bit_length())
