"""The key/value cache in the layout that decoding is fast in.

A prompt's keys and values are computed once and shared by every trial of that prompt, so the prefix has no row axis.
What a row adds lies in segments of static length, one array a layer: XLA updates a segment in place when it is the
loop's carry, and a step never copies or reads the unfilled part of a longer one. Keys of the prefix are [G, K, T0]
and its values [G, T0, K], so that both products of attention are plain batched products.

Bytes: prefix 2 L G K T0 a prompt; a segment 2 L G K S a row; times the compute dtype's size.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.model.attention import RowKeys, SharedKeys
from causeway.engine.model.forward import causal_pass
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.unrolled import layers_of
from causeway.engine.precision import full_precision


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prefix:
    """Keys and values of a prompt's first `length` tokens, padded to T0; the rest is masked.

    Stacked over layers, or one array a layer (`unrolled`).
    """

    keys: Float[Array, "L G K T0"] | tuple[Float[Array, "G K T0"], ...]
    values: Float[Array, "L G T0 K"] | tuple[Float[Array, "G T0 K"], ...]
    length: Int[Array, ""]

    def layer(self, index: int | Array) -> SharedKeys:
        """One layer's piece for attention; `index` may be traced where layers are stacked."""
        keys = self.keys[index]
        return SharedKeys(keys, self.values[index], jnp.arange(keys.shape[-1]) < self.length)

    def unrolled(self) -> "Prefix":
        """The same with one array a layer, for programs that write layers out."""
        return Prefix(layers_of(self.keys), layers_of(self.values), self.length)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Segment:
    """Keys and values that rows have added: a tuple over layers of [G, B, S, K] arrays, steps [first, S) filled."""

    keys: tuple[Float[Array, "G B S K"], ...]
    values: tuple[Float[Array, "G B S K"], ...]
    first: Int[Array, ""]

    @property
    def length(self) -> int:
        """S."""
        return self.keys[0].shape[2]

    def layer(self, index: int, filled: int | Array) -> RowKeys:
        """One layer's piece with steps [first, filled) visible."""
        steps = jnp.arange(self.length)
        return RowKeys(self.keys[index], self.values[index], (steps >= self.first) & (steps < filled))

    def write(self, index: int, step: int | Array, key: Array, value: Array) -> "Segment":
        """The segment with one token's key and value [G, B, K] at a layer and step."""

        def put(arrays, new):
            updated = jax.lax.dynamic_update_slice_in_dim(arrays[index], new[:, :, None], step, axis=2)
            return (*arrays[:index], updated, *arrays[index + 1 :])

        return Segment(put(self.keys, key), put(self.values, value), self.first)


def empty_segment(transformer: Transformer, rows: int, length: int, first: int | Array = 0) -> Segment:
    """A segment of zeros to be written from step `first` on."""
    c = transformer.config
    shape = (c.num_kv_heads, rows, length, c.head_dim)
    zeros = tuple(jnp.zeros(shape, transformer.numerics.compute_dtype) for _ in range(c.num_layers))
    return Segment(zeros, zeros, jnp.asarray(first, jnp.int32))


def prefill_rows(transformer: Transformer, tokens: Int[Array, "B S"]) -> Segment:
    """The cache of the first S tokens of each row's own prompt, all of them tokens; a program to be compiled."""
    keys, values = causal_pass(transformer, tokens, keep_cache=True).cache
    keys, values = (jnp.einsum("lbsgk->lgbsk", a) for a in (keys, values))
    return Segment(tuple(keys), tuple(values), jnp.int32(0))


@jax.jit
@full_precision
def prefill(transformer: Transformer, tokens: Int[Array, " T0"], length: Int[Array, ""]) -> Prefix:
    """The cache of one prompt's first `length` tokens; `tokens` is padded to a bucket's width T0.

    A prompt always goes through alone in its bucket, so its bits do not depend on which other prompts are run.
    """
    # What padding holds is no matter. What tokens hold shows where it is attended to, in the passes that use the cache.
    lengths = length[None]
    keys, values = causal_pass(transformer, tokens[None], lengths=lengths, keep_cache=True).cache
    return Prefix(
        keys=jnp.einsum("ltgk->lgkt", keys[:, 0]), values=jnp.einsum("ltgk->lgtk", values[:, 0]), length=length
    )
