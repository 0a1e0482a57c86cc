"""The threshold of top-p: the least weight of the smallest set of largest weights that holds a share of their sum.

    threshold[b] = max { t : sum_v w[b, v] (w[b, v] >= t)  >=  share * sum_v w[b, v] }

What ties with the last member is in. Positive floats are ordered as their bit patterns are, so that t is found digit
by digit from the top, exactly and without a sort: a pass over the weights takes their mass from each of 2^n - 1
thresholds on and so decides n of the 31 bits. Sums of weights that are not negative are monotone in the threshold even
as they are rounded, so how many bits a pass decides does not change what is found.

    xla       passes of one bit on CPU, where a pass costs as many additions as it has thresholds, of four on other
              devices, where it costs a reading of the weights: 8 of them; the reference
    pallas    one kernel, a program a row: all passes run over a row that the cache keeps (Triton on a GPU)

`pallas` is off by default: it has been held against the reference in interpret mode, and has not been timed on a GPU.

Shapes: B rows, V tokens.
Cost: 31 B V comparisons and additions with one bit a pass, 120 B V with four; readings of the weights as above.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int

Implementation = Literal["xla", "pallas"]
# Bits of a positive float, and how many of them a pass decides where readings of the weights are what costs.
BITS, DIGIT = 31, 4
# Tokens of a tile, and warps of a program: the 15 masses of a pass stay in registers, four tokens a thread.
TILE, WARPS = 1024, 8


@functools.partial(jax.jit, static_argnames="implementation", inline=True)
def top_p_threshold(
    weights: Float[Array, "B V"], share: float | Float[Array, ""], *, implementation: Implementation = "xla"
) -> Float[Array, "B 1"]:
    """The least weight that is in; 0 in a row that holds NaN.

    Args:
        weights: float32, not negative, of any scale.
        share: of each row's sum, in (0, 1].
        implementation: how it is computed.
    """
    find = {"xla": _xla, "pallas": _pallas}[implementation]
    return find(weights, share * jnp.sum(weights, axis=-1, keepdims=True))


def _xla(weights: Float[Array, "B V"], needed: Float[Array, "B 1"]) -> Float[Array, "B 1"]:
    one, several = (functools.partial(_by_digits, digit=digit) for digit in (1, DIGIT))
    return jax.lax.platform_dependent(weights, needed, cpu=one, default=several)


def _by_digits(weights: Float[Array, "B V"], needed: Float[Array, "B 1"], digit: int) -> Float[Array, "B 1"]:
    def decide(place: Int[Array, ""], low: Int[Array, "B 1"]) -> Int[Array, "B 1"]:
        step = _step(place, digit)
        return low + step * _enough(_masses(weights, _above(low, step, digit)), needed)

    return _float(jax.lax.fori_loop(0, -(-BITS // digit), decide, jnp.zeros(needed.shape, jnp.int32)))


def _masses(weights: Float[Array, "B V"], thresholds: list[Float[Array, "B 1"]]) -> list[Float[Array, "B 1"]]:
    """The mass from each threshold on, as one reduction: separate ones would each read the weights."""
    parts = tuple(jnp.where(weights >= threshold, weights, 0) for threshold in thresholds)
    zeros = (jnp.zeros((), weights.dtype),) * len(parts)
    sums = jax.lax.reduce(parts, zeros, lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True)), (1,))
    return [mass[:, None] for mass in sums]


def _pallas(weights: Float[Array, "B V"], needed: Float[Array, "B 1"]) -> Float[Array, "B 1"]:
    b, v = weights.shape
    one = pl.BlockSpec((1,), lambda i: (i,))
    found = pl.pallas_call(
        _kernel,
        grid=(b,),
        in_specs=[pl.BlockSpec((None, v), lambda i: (i, 0)), one],
        out_specs=one,
        out_shape=jax.ShapeDtypeStruct((b,), weights.dtype),
        compiler_params=triton.CompilerParams(num_warps=WARPS),
        interpret=jax.default_backend() == "cpu",
    )(weights, needed[:, 0])
    return found[:, None]


def _kernel(weights, needed, threshold) -> None:
    """One row."""
    tokens = weights.shape[0]

    def masses(thresholds: list[Array]) -> list[Array]:
        def add(tile: Array, parts: list[Array]) -> list[Array]:
            here = pl.ds(tile * TILE, TILE)
            w = triton.load(weights.at[here], mask=tile * TILE + jnp.arange(TILE) < tokens, other=0.0)
            return [part + jnp.where(w >= t, w, 0) for part, t in zip(parts, thresholds, strict=True)]

        nothing = [jnp.zeros(TILE, jnp.float32)] * len(thresholds)
        return [jnp.sum(part) for part in jax.lax.fori_loop(0, -(-tokens // TILE), add, nothing)]

    def decide(place: Array, low: Array) -> Array:
        step = _step(place, DIGIT)
        return low + step * _enough(masses(_above(low, step, DIGIT)), needed[0])

    threshold[0] = _float(jax.lax.fori_loop(0, -(-BITS // DIGIT), decide, jnp.int32(0)))


def _step(place: Array, digit: int) -> Array:
    """What one more in this digit adds to the bit pattern; the last digit may reach into bits that are decided."""
    return jnp.left_shift(jnp.int32(1), jnp.maximum(BITS - digit * (place + 1), 0))


def _above(low: Array, step: Array, digit: int) -> list[Array]:
    """The thresholds between `low` and the next number of the digit above."""
    return [_float(low + k * step) for k in range(1, 2**digit)]


def _enough(masses: list[Array], needed: Array) -> Array:
    """How many of the thresholds, which ascend, are low enough."""
    return sum(((mass >= needed).astype(jnp.int32) for mass in masses), jnp.int32(0))


def _float(pattern: Array) -> Array:
    return jax.lax.bitcast_convert_type(pattern, jnp.float32)
