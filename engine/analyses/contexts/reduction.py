"""The tally of a pass: each row's strongest token of every feature, and counts over its tokens.

Rows are encoded one after another, [S, F] at a time; what is kept of the B rows of a pass is joined to what the passes
before it have left (`Tally`), on the devices. To the host travels the sum of each feature's values alone, which floats
would otherwise add up in an order that depends on the devices.

Shapes: B rows of a pass and device, S places of a row, F features (or the chosen ones), W tokens of a window.
Cost beside the encoding: BINS comparisons a value, and a sort of K + B contexts a feature and pass.
Memory: [S, F] of a row, [B, F, W] of a pass.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt

from causeway.engine.analyses.contexts.tally import (
    BINS,
    GROUPS,
    Contexts,
    Sizes,
    Tally,
    bin_of,
    merged,
    moved,
    nothing,
)
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.input_norm import normalise
from causeway.engine.reading.reductions import Place, Reduction, Results

# Odd numbers that spread layers and features over 32 bits before they are mixed (those of xxHash).
_OF_FEATURE, _OF_LAYER = 0x9E3779B1, 0x85EBCA77


@dataclasses.dataclass(frozen=True)
class TallyRows(Reduction):
    """total: [F] sum of each feature's values over the rows of a device. Carried: the arrays of a `Tally`.

    data: order [R] a hash of each row, group [R], layer [P] model layers, feature [P, F] numbers of the features.
    Labels of places are the numbers of their rows.

    Attributes:
        features: F. sizes: of the tally. chosen: whether the features are some of the dictionary's.
    """

    features: int
    sizes: Sizes
    chosen: bool = False
    totals: ClassVar[tuple[str, ...]] = ("total",)
    carries: ClassVar[bool] = True

    def start(self) -> Results:
        """What is carried before the first pass."""
        return nothing(self.features, self.sizes).named()

    def __call__(self, at: Place) -> Results:
        """Row by row, then all rows together."""
        numbers, feature = at.labels[:, 0], at.data["feature"][at.index]
        encode = chosen_encoder(at, feature) if self.chosen else at.encode

        def of_row(row: tuple[Float[Array, "S D"], Bool[Array, " S"]]) -> tuple[Any, ...]:
            x, there = row
            return row_tally(encode(x), there, self.sizes.reach)

        value, place, window, count, histogram, total = jax.lax.map(of_row, (at.streams[0], at.there))
        order = _mixed(at.data["order"][numbers][:, None], feature, at.data["layer"][at.index])
        token = numbers[:, None] * at.there.shape[1] + place
        found = Contexts(value, jnp.where(value != 0, order, 0), jnp.where(value != 0, token, 0), window)
        down = bin_of(jnp.max(jnp.abs(value), axis=0)) - bin_of(value)
        groups = jax.nn.one_hot(at.data["group"][numbers], GROUPS, dtype=jnp.int32)
        own = Tally(
            found, found, jnp.sum(jax.vmap(moved)(histogram, down), axis=0),
            jnp.einsum("bf,bg->gf", count, groups), jnp.sum(count > 0, axis=0, dtype=jnp.int32),
        )  # fmt: skip
        carried = merged(Tally.of_named(at.carried), own, self.sizes)
        return {"total": jnp.sum(total, axis=0), "carried": carried.named()}


def chosen_encoder(at: Place, feature: Int[Array, " f"]) -> Callable[[Float[Array, "S D"]], Float[Array, "S f"]]:
    """What encodes some features of a layer: their columns alone, but where a feature's value depends on the others."""
    dictionary: Any = at.dictionary
    config = dictionary.config
    if config.ranked:
        return lambda x: at.encode(x)[:, feature]
    # One layer that was streamed has no axis of layers.
    stack = dictionary if dictionary.b_enc[...].ndim > 1 else jax.tree.map(lambda a: a[None], dictionary)
    columns = FeatureColumns(stack, jnp.broadcast_to(config.place(at.layer), feature.shape), feature, decoder=False)

    def encode(x: Float[Array, "S D"]) -> Float[Array, "S f"]:
        y = normalise(config.input_norm, x)
        p = y @ columns.encoder.T.astype(y.dtype) + columns.bias.astype(y.dtype)
        return elementwise(columns.kind, p, columns.parameters)

    return encode


def row_tally(f: Float[Array, "S F"], there: Bool[Array, " S"], reach: int) -> tuple[Array, ...]:
    """The strongest value of each feature in a row, its place, the values around it [W, F], and over the row's tokens
    how many are active, the bins below the strongest's that they are in [bins, F], and their sum."""
    f = jnp.where(there[:, None], f, 0).astype(jnp.float32)
    size, places, features = jnp.abs(f), jnp.arange(len(f))[:, None], jnp.arange(f.shape[1])
    # The first of the largest. An argmax takes ten times as long.
    place = jnp.min(jnp.where(size == jnp.max(size, axis=0), places, len(f) - 1), axis=0)
    value = f[place, features]
    around = place + jnp.arange(-reach, reach + 1)[:, None]
    inside = (around >= 0) & (around < len(f)) & (value != 0)
    window = jnp.where(inside, f[jnp.clip(around, 0, len(f) - 1), features], 0)
    # Values that are 0 are counted beside the bins, and dropped.
    below = jnp.where(f != 0, jnp.minimum(bin_of(value) - bin_of(f), BINS - 1), BINS)
    histogram = jnp.zeros((BINS + 1, f.shape[1]), jnp.int32).at[below, features].add(1)[:BINS]
    return value, place.astype(jnp.int32), window, histogram.sum(axis=0), histogram, f.sum(axis=0)


def _mixed(row: UInt[Array, "B 1"], feature: Int[Array, " F"], layer: Int[Array, ""]) -> UInt[Array, "B F"]:
    """A hash of rows, for each feature another (MurmurHash3's last step)."""
    own = feature.astype(jnp.uint32) * np.uint32(_OF_FEATURE) + layer.astype(jnp.uint32) * np.uint32(_OF_LAYER)
    h = row ^ own
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return h ^ (h >> 16)
