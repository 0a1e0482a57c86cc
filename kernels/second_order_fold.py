"""The second-order fold: what each later head brings to one token of every neuron's activations.

    codes[b, n, (l, h)] = sum_s pattern[b, l, h, position_b, s] * scale[b, l, s] * activations[b, s, n]

One query row of each pattern is gathered, divided by the norm's denominator and multiplied with the activations; all
else of a second-order effect is weights alone.

    xla       the weights [B, K, S] are formed, then one product a prompt; the reference
    pallas    one kernel: rows are gathered and scaled as they are multiplied, tile by tile of neurons (Triton on a GPU)

`pallas` is off by default: it has been held against the reference in interpret mode, and has not been timed on a GPU.

Shapes: B prompts, L layers, H heads, T queries, S tokens, N neurons, K = L H.
Cost: 2 S K N operations a prompt.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

Implementation = Literal["xla", "pallas"]
# Neurons of a tile; tokens and heads are padded to what a tensor core's product takes.
TILE, LEAST = 128, 16


@functools.partial(jax.jit, static_argnames="implementation", inline=True)
def second_order_fold(
    pattern: Float[Array, "B L H T S"],
    position: Int[Array, " B"],
    scale: Float[Array, "B L S"],
    activations: Float[Array, "B S N"],
    *,
    implementation: Implementation = "xla",
) -> Float[Array, "B N K"]:
    """Codes of every neuron, in the activations' dtype.

    Args:
        pattern: attention patterns.
        position: of the query whose row is taken.
        scale: 1 / sigma of the norm before attention at each token, and whatever else scales a token of a layer.
        activations: of the neurons.
        implementation: how it is computed.
    """
    fold = {"xla": _xla, "pallas": _pallas}[implementation]
    return fold(pattern, position, scale, activations)


def _xla(pattern: Array, position: Array, scale: Array, activations: Array) -> Float[Array, "B N K"]:
    rows = jnp.take_along_axis(pattern, position[:, None, None, None, None], axis=3)[:, :, :, 0]
    weights = (rows * scale[:, :, None]).astype(activations.dtype)
    b, layers, heads, s = weights.shape
    return jnp.einsum("bks,bsn->bnk", weights.reshape(b, layers * heads, s), activations)


def _pallas(pattern: Array, position: Array, scale: Array, activations: Array) -> Float[Array, "B N K"]:
    b, layers, heads, queries, s = pattern.shape
    n = activations.shape[-1]
    wide_s, wide_h, wide_n = _power(s), _power(heads), -(-n // TILE) * TILE
    pattern = jnp.pad(pattern, ((0, 0), (0, 0), (0, wide_h - heads), (0, 0), (0, wide_s - s)))
    scale = jnp.pad(scale, ((0, 0), (0, 0), (0, wide_s - s)))
    activations = jnp.pad(activations, ((0, 0), (0, wide_s - s), (0, wide_n - n)))
    found = pl.pallas_call(
        _kernel,
        grid=(b, layers, wide_n // TILE),
        in_specs=[
            pl.BlockSpec((1,), lambda i, at, j: (i,)),
            pl.BlockSpec((1, 1, wide_h, queries, wide_s), lambda i, at, j: (i, at, 0, 0, 0)),
            pl.BlockSpec((1, 1, wide_s), lambda i, at, j: (i, at, 0)),
            pl.BlockSpec((1, wide_s, TILE), lambda i, at, j: (i, 0, j)),
        ],
        out_specs=pl.BlockSpec((1, TILE, 1, wide_h), lambda i, at, j: (i, j, at, 0)),
        out_shape=jax.ShapeDtypeStruct((b, wide_n, layers, wide_h), activations.dtype),
        interpret=jax.default_backend() == "cpu",
    )(position, pattern, scale, activations)
    return found[:, :n, :, :heads].reshape(b, n, layers * heads)


def _kernel(position, pattern, scale, activations, codes) -> None:
    """One layer's heads and one tile of neurons of one prompt."""
    rows = pattern[0, 0, :, pl.ds(position[0], 1), :][:, 0]
    weights = (rows * scale[0, 0][None]).astype(activations.dtype)
    codes[0, :, 0, :] = jnp.dot(activations[0].T, weights.T).astype(codes.dtype)


def _power(size: int) -> int:
    """The next power of two that a product takes."""
    return max(LEAST, 1 << (size - 1).bit_length())
