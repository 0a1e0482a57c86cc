"""The strongest features without all of them: each program keeps the k best of its tokens and its share of features.

A program walks over tiles of features. Values are compared as integers of the same order. While some token's best
value of the tile beats its worst one kept, that one makes room; of equal ones the highest id goes first. Tiles come in
order of ids, so what is kept is what a stable sort keeps. Most features are 0, so there is little to put in.

The shares' lists [B, shares, k] are sorted together in the end, by value and then by id.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Int

from causeway.kernels.float_order import from_integers, to_integers
from causeway.kernels.launch import launch, next_power

# Tokens, features and model dimensions of a tile; shares into which the features are cut.
TOKENS, FEATURES, WIDTH, SHARES = 64, 128, 32, 16

# Values of a tile as integers and their ids, then those kept and theirs.
State = tuple[Array, Array, Array, Array]


def strongest(
    x: Float[Array, "B D"],
    encoder: Float[Array, "D F"],
    bias: Float[Array, " F"],
    parameters: tuple[Float[Array, " F"], ...],
    activation: Callable[..., Array],
    k: int,
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Values and ids, from the lists of all shares."""
    b, features = x.shape[0], encoder.shape[1]
    tokens = min(TOKENS, next_power(b))
    share = -(-features // (SHARES * FEATURES)) * FEATURES
    grid, kept = (-(-b // tokens), -(-features // share)), next_power(k)
    lists = jax.ShapeDtypeStruct((grid[0] * tokens, grid[1], kept), jnp.int32)
    ordered, ids = launch(
        functools.partial(_kernel, activation=activation, share=share, k=k), x, encoder, bias, *parameters,
        grid=grid,
        out_specs=[pl.BlockSpec((tokens, None, kept), lambda i, j: (i, j, 0))] * 2,
        out_shape=[lists, lists],
        warps=8,
    )  # fmt: skip
    ordered, ids = (found[:b, :, :k].reshape(b, -1) for found in (ordered, ids))
    descending, ids = jax.lax.sort((~ordered, ids), num_keys=2)
    return from_integers(~descending[:, :k], jnp.float32).astype(x.dtype), ids[:, :k]


def _kernel(x, encoder, bias, *rest, activation: Callable[..., Array], share: int, k: int) -> None:
    """One tile of tokens, one share of the features."""
    *parameters, out_values, out_ids = rest
    tokens, width = out_values.shape
    slot = jax.lax.broadcasted_iota(jnp.int32, (tokens, width), 1)
    row, begin = pl.program_id(0) * tokens, pl.program_id(1) * share
    lowest, highest = jnp.iinfo(jnp.int32).min, jnp.iinfo(jnp.int32).max
    # Slots beyond k hold what nothing beats; the others are empty, each under an id of its own.
    kept = (jnp.where(slot < k, lowest, highest), highest - width + slot)

    def one_tile(tile: Array, kept: tuple[Array, Array]) -> tuple[Array, Array]:
        first = begin + tile * FEATURES
        f = _tile(x, encoder, bias, parameters, activation, (row, tokens), first)
        column = first + jax.lax.broadcasted_iota(jnp.int32, (tokens, FEATURES), 1)
        ordered = jnp.where(column < encoder.shape[1], to_integers(f), lowest)
        return jax.lax.while_loop(_some_beat, _put_in, (ordered, column, *kept))[2:]

    out_values[...], out_ids[...] = jax.lax.fori_loop(0, share // FEATURES, one_tile, kept)


def _tile(x, encoder, bias, parameters, activation: Callable, rows: tuple, first: Array) -> Float[Array, "t f"]:
    """A tile of features from column `first` on, of rows (first, how many), summed in float32 and then rounded as x."""
    row, tokens = rows
    column, d, dtype = first + jnp.arange(FEATURES), x.shape[1], x.dtype

    def part(step: Array, total: Array) -> Array:
        at = step * WIDTH + jnp.arange(WIDTH)
        left = triton.load(
            x.at[pl.ds(row, tokens), pl.ds(step * WIDTH, WIDTH)],
            mask=(row + jnp.arange(tokens) < x.shape[0])[:, None] & (at < d)[None], other=0,
        )  # fmt: skip
        right = triton.load(
            encoder.at[pl.ds(step * WIDTH, WIDTH), pl.ds(first, FEATURES)],
            mask=(at < d)[:, None] & (column < encoder.shape[1])[None], other=0,
        )  # fmt: skip
        # The tensor core's own rounding of float32 to 10 bits is refused.
        precision = jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None
        return total + jnp.dot(left, right.astype(dtype), precision=precision, preferred_element_type=jnp.float32)

    total = jax.lax.fori_loop(0, -(-d // WIDTH), part, jnp.zeros((tokens, FEATURES), jnp.float32))
    bias, *parameters = (
        triton.load(each.at[pl.ds(first, FEATURES)], mask=column < encoder.shape[1], other=0).astype(dtype)[None]
        for each in (bias, *parameters)
    )
    return activation(total.astype(dtype) + bias, *parameters).astype(jnp.float32)


def _some_beat(state: State) -> Array:
    """Whether a token's best value of the tile beats its worst one kept."""
    ordered, _, kept, _ = state
    return jnp.max((jnp.max(ordered, axis=1) > jnp.min(kept, axis=1)).astype(jnp.int32)) > 0


def _put_in(state: State) -> State:
    """The best value of the tile in the place of the worst one kept, where it beats it."""
    ordered, column, kept, ids = state
    best, worst = jnp.max(ordered, axis=1, keepdims=True), jnp.min(kept, axis=1, keepdims=True)
    beyond = jnp.iinfo(jnp.int32).max
    chosen = jnp.min(jnp.where(ordered == best, column, beyond), axis=1, keepdims=True)
    leaving = jnp.max(jnp.where(kept == worst, ids, -1), axis=1, keepdims=True)
    beats = best > worst
    place = beats & (kept == worst) & (ids == leaving)
    ordered = jnp.where(beats & (column == chosen), jnp.iinfo(jnp.int32).min, ordered)
    return ordered, column, jnp.where(place, best, kept), jnp.where(place, chosen, ids)
