"""float32 times weights of bfloat16, as float32 has it, at the rate of 16 bits.

A float32 has 24 bits of mantissa and a bfloat16 8, so a number is the sum of three bfloat16, and weights that are kept
in bfloat16 are one already:

    x = x1 + x2 + x3,    x W = x3 W + x2 W + x1 W

A product of two bfloat16 fits into the float32 that sums are in, so nothing is lost that a product in float32 keeps. On
tensor cores three of these take a fifth of the time of one without them, and no weight is converted. Parts below the
smallest bfloat16 (1e-38) are lost, and a number above the largest (3.39e38, of float32's 3.40e38) gives NaN, which is
refused like any other. Derivatives are taken backwards alone (`vjp`, `grad`): `jvp` and `linearize` are not supported.
A model asks for it by `Numerics.in_parts`, which `chosen` sets where it helps.

Shapes: any equation of einsum "...a,w->...b". Cost: 3 products of 16 bits, and as many of the way back.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float32

from causeway.engine.model.config import Numerics

PARTS = 3
_BFLOAT16 = {"exponent_bits": 8, "mantissa_bits": 7}


def chosen(numerics: Numerics, platform: str) -> Numerics:
    """The numerics of a model on a kind of device: in parts on a GPU where its dtypes allow; on a CPU never, whose
    products of 16 bits are no faster."""
    dtypes = numerics.storage, numerics.compute, numerics.accumulate
    return dataclasses.replace(numerics, in_parts=platform == "gpu" and dtypes == ("bfloat16", "float32", "float32"))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def product(equation: str, x: Float32[Array, "..."], matrix: BFloat16[Array, "..."]) -> Float32[Array, "..."]:
    """`einsum(equation, x, matrix)` in float32, whose derivatives are such products too."""
    parts = []
    for _ in range(PARTS):
        # The compiler takes a conversion there and back for nothing, and this not.
        rounded = jax.lax.reduce_precision(x, **_BFLOAT16)
        parts.append(rounded.astype(jnp.bfloat16))
        x = x - rounded
    out = _summed(equation, parts.pop(), matrix)
    while parts:
        out = _summed(equation, parts.pop(), matrix) + out
    return out


def _summed(equation: str, part: BFloat16[Array, "..."], matrix: BFloat16[Array, "..."]) -> Float32[Array, "..."]:
    return jnp.einsum(equation, part, matrix, preferred_element_type=jnp.float32)


def _forward(equation: str, x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return product(equation, x, matrix), (x, matrix)


def _back(equation: str, kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, matrix = kept
    operands, result = equation.split("->")
    left, right = operands.split(",")
    by_matrix = jax.vjp(lambda m: jnp.einsum(equation, x, m.astype(jnp.float32)), matrix)[1](g)[0]
    return product(f"{result},{right}->{left}", g, matrix), by_matrix


product.defvjp(_forward, _back)
