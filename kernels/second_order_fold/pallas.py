"""The second-order fold as one kernel: a program is one layer's heads and one tile of neurons of one prompt."""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from causeway.kernels.launch import launch, next_power

# Neurons of a tile.
TILE = 128


def fold(
    pattern: Float[Array, "B L H T S"],
    position: Int[Array, " B"],
    scale: Float[Array, "B L S"],
    activations: Float[Array, "B S N"],
) -> Float[Array, "B N K"]:
    """Codes: rows are gathered and scaled as they are multiplied."""
    b, layers, heads, queries, s = pattern.shape
    n = activations.shape[-1]
    wide_s, wide_h, wide_n = next_power(s), next_power(heads), -(-n // TILE) * TILE
    pattern = jnp.pad(pattern, ((0, 0), (0, 0), (0, wide_h - heads), (0, 0), (0, wide_s - s)))
    scale = jnp.pad(scale, ((0, 0), (0, 0), (0, wide_s - s)))
    activations = jnp.pad(activations, ((0, 0), (0, wide_s - s), (0, wide_n - n)))
    found = launch(
        _kernel, position, pattern, scale, activations,
        grid=(b, layers, wide_n // TILE),
        in_specs=[
            pl.BlockSpec((1,), lambda i, at, j: (i,)),
            pl.BlockSpec((1, 1, wide_h, queries, wide_s), lambda i, at, j: (i, at, 0, 0, 0)),
            pl.BlockSpec((1, 1, wide_s), lambda i, at, j: (i, at, 0)),
            pl.BlockSpec((1, wide_s, TILE), lambda i, at, j: (i, 0, j)),
        ],
        out_specs=pl.BlockSpec((1, TILE, 1, wide_h), lambda i, at, j: (i, j, at, 0)),
        out_shape=jax.ShapeDtypeStruct((b, wide_n, layers, wide_h), activations.dtype),
    )  # fmt: skip
    return found[:, :n, :, :heads].reshape(b, n, layers * heads)


def _kernel(position, pattern, scale, activations, codes) -> None:
    """One layer's heads and one tile of neurons of one prompt."""
    rows = pattern[0, 0, :, pl.ds(position[0], 1), :][:, 0]
    weights = (rows * scale[0, 0][None]).astype(activations.dtype)
    # The tensor core's own rounding of float32 to 10 bits is refused.
    found = jnp.dot(activations[0].T, weights.T, precision=jax.lax.Precision.HIGHEST)
    codes[0, :, 0, :] = found.astype(codes.dtype)
