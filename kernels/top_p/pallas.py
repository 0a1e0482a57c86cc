"""The threshold of top-p as one kernel: a program is one row, which the cache keeps from pass to pass."""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from causeway.kernels.launch import launch
from causeway.kernels.top_p.digits import DIGIT, Search, above, enough, search, to_float

# Tokens of a tile, and warps of a program: the 15 masses of a pass stay in registers, four tokens a thread.
TILE, WARPS = 1024, 8


def threshold(
    weights: Float[Array, "B V"], needed: Float[Array, "B 1"], between: tuple[float, float]
) -> Float[Array, "B 1"]:
    """The largest threshold from which on the mass is enough."""
    b, v = weights.shape
    one = pl.BlockSpec((1,), lambda i: (i,))
    found = launch(
        functools.partial(_kernel, found=search(between, DIGIT)), weights, needed[:, 0],
        grid=(b,),
        in_specs=[pl.BlockSpec((None, v), lambda i: (i, 0)), one],
        out_specs=one,
        out_shape=jax.ShapeDtypeStruct((b,), weights.dtype),
        warps=WARPS,
    )  # fmt: skip
    return found[:, None]


def _kernel(weights, needed, threshold, *, found: Search) -> None:
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
        step = found.step(place)
        return low + step * enough(masses(above(low, step, found.digit)), needed[0])

    threshold[0] = to_float(jax.lax.fori_loop(0, found.passes, decide, jnp.int32(found.start)))
