"""float32 means float32.

GPUs multiply float32 matrices in TF32 (10 bits of mantissa) unless told otherwise, which is too coarse for effects of
a thousandth and would make a no-op a matter of luck. Every compiled program of the engine is traced under full
precision; 16-bit operands are not touched by it, and on CPU it changes nothing.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """The function with all its matrix products in the precision of their operands."""

    @functools.wraps(function)
    def traced(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("float32"):
            return function(*args, **kwargs)

    return traced
