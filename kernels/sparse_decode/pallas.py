"""Decoding a few features as one kernel: a program is one token and one tile of the stream written."""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int

from causeway.kernels.launch import launch

# Entries of the stream in a tile.
TILE = 512


def decode(values: Float[Array, "B k"], ids: Int[Array, "B k"], decoder: Float[Array, "F O"]) -> Float[Array, "B O"]:
    """What the features write, each row of the decoder read once."""
    (b, _), out = values.shape, decoder.shape[1]
    tiles = -(-out // TILE)
    found = launch(
        _kernel, values, ids, decoder,
        grid=(b, tiles),
        out_specs=pl.BlockSpec((None, TILE), lambda i, j: (i, j)),
        out_shape=jax.ShapeDtypeStruct((b, tiles * TILE), values.dtype),
    )  # fmt: skip
    return found[:, :out]


def _kernel(values, ids, decoder, written) -> None:
    """One token, one tile."""
    token, first = pl.program_id(0), pl.program_id(1) * TILE
    there = first + jnp.arange(TILE) < decoder.shape[1]

    def add(place: Array, total: Array) -> Array:
        row = triton.load(decoder.at[ids[token, place], pl.ds(first, TILE)], mask=there, other=0)
        return total + values[token, place].astype(jnp.float32) * row.astype(jnp.float32)

    total = jax.lax.fori_loop(0, values.shape[1], add, jnp.zeros(TILE, jnp.float32))
    written[...] = total.astype(written.dtype)
