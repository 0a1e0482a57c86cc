"""The decoder's modules: parameters and their shapes, and the pure functions of one token's vector.

Flax NNX defines the modules; they are pytrees, so `jax.jit`, `lax.scan` and `jax.tree.map` execute them without
any NNX transform. The parameters of all blocks are stacked on a leading layer axis ([L, ...]), or each block has its
own (`unrolled`); `layer(blocks, l)` takes one block out, `scan_layers` runs them all. Everything that mixes positions
(attention patterns, caches) lives in `attention.py` and `forward.py`; here is only what acts on each position alone.

Shapes: D model, H heads, G kv heads, K head width, N neurons, V vocabulary, L layers.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from causeway.engine.model import exact_parts
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.joined_heads import join_heads, keys, queries, values
from causeway.engine.model.norms import NoNorm, RMSNorm, make_norm, make_rms
from causeway.engine.model.quantised import Weight, count_weights, operand, rows_of, weight

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
}


def _product(equation: str, x: Array, weight: Weight, numerics: Numerics) -> Array:
    """Einsum in the compute dtype, summed as `Numerics.product_dtype` says; scaled sums stay wide until they are."""
    matrix, scale = operand(weight)
    dtype = numerics.product_dtype if scale is None else numerics.accumulate_dtype
    return _summed(equation, x, matrix, scale, numerics, dtype).astype(numerics.compute_dtype)


def _summed(equation: str, x: Array, matrix: Array, scale: Array | None, numerics: Numerics, dtype: jnp.dtype) -> Array:
    """The same, left in the dtype that sums are asked for in; weights in 8 bits are scaled here, once a sum."""
    x = x.astype(numerics.compute_dtype)
    if numerics.in_parts:
        return exact_parts.product(equation, x, matrix)
    out = jnp.einsum(equation, x, matrix.astype(numerics.compute_dtype), preferred_element_type=dtype)
    return out if scale is None else out * scale.astype(out.dtype)


class Attention(nnx.Module):
    """Query, key, value and output maps of grouped-query attention; H / G query heads share a key/value head.

    The first three are one parameter, `qkv` (see `joined_heads`); `query`, `key` and `value` read it.
    """

    def __init__(self, config: ModelConfig, numerics: Numerics, init: Callable[..., Array], lead: tuple[int, ...]):
        d, h, g, k = config.d_model, config.num_heads, config.num_kv_heads, config.head_dim

        def joined(_: tuple[int, ...]) -> Array:
            return join_heads(*(init((*lead, d, heads, k)) for heads in (h, g, g)))

        self.qkv = weight(joined, (*lead, d, g, h // g + 2, k), (-4,), numerics.storage)
        self.output = weight(init, (*lead, h, k, d), (-3, -2), numerics.storage)
        if config.attention_bias:
            self.qkv_bias = nnx.Param(jnp.zeros((*lead, g, h // g + 2, k), numerics.storage_dtype))
        if config.output_bias:
            self.output_bias = nnx.Param(jnp.zeros((*lead, d), numerics.storage_dtype))
        if config.qk_norm:
            joint = config.qk_norm_joint
            self.query_norm = make_rms(config, (*lead, h * k if joint else k), numerics)
            self.key_norm = make_rms(config, (*lead, g * k if joint else k), numerics)
        self.has_bias, self.has_output_bias = config.attention_bias, config.output_bias
        self.has_norm, self.joint = config.qk_norm, config.qk_norm_joint
        self.numerics = numerics

    def project(
        self, x: Float[Array, "*rows D"]
    ) -> tuple[Float[Array, "*rows H K"], Float[Array, "*rows G K"], Float[Array, "*rows G K"]]:
        """Queries, keys and values before rotation."""
        joined = _product("...d,dgrk->...grk", x, self.qkv, self.numerics)
        if self.has_bias:
            joined = joined + self.qkv_bias[...]
        q, k, v = queries(joined), keys(joined), values(joined)
        if self.has_norm:
            q, k = self._normed(self.query_norm, q), self._normed(self.key_norm, k)
        dtype = self.numerics.compute_dtype
        return q.astype(dtype), k.astype(dtype), v.astype(dtype)

    @property
    def query(self) -> Float[Array, "*lead D H K"]:
        """The map to queries."""
        return queries(self.qkv[...])

    @property
    def key(self) -> Float[Array, "*lead D G K"]:
        """The map to keys."""
        return keys(self.qkv[...])

    @property
    def value(self) -> Float[Array, "*lead D G K"]:
        """The map to values."""
        return values(self.qkv[...])

    @property
    def query_bias(self) -> Float[Array, "*lead H K"]:
        """What is added to queries."""
        return queries(self.qkv_bias[...])

    @property
    def key_bias(self) -> Float[Array, "*lead G K"]:
        """What is added to keys."""
        return keys(self.qkv_bias[...])

    @property
    def value_bias(self) -> Float[Array, "*lead G K"]:
        """What is added to values."""
        return values(self.qkv_bias[...])

    def _normed(self, norm: RMSNorm, x: Float[Array, "*rows H K"]) -> Float[Array, "*rows H K"]:
        """Each head by itself, or all together."""
        return norm(x.reshape(*x.shape[:-2], -1)).reshape(x.shape) if self.joint else norm(x)

    def write(self, z: Float[Array, "*rows H K"]) -> Float[Array, "*rows D"]:
        """The heads' outputs mapped back to the residual stream and summed."""
        out = _product("...hk,hkd->...d", z, self.output, self.numerics)
        if self.has_output_bias:
            out = (out + self.output_bias[...]).astype(out.dtype)
        return out


class MLP(nnx.Module):
    """down(act(gate(x)) * up(x)), or down(act(up(x))) without a gate."""

    def __init__(self, config: ModelConfig, numerics: Numerics, init: Callable[..., Array], lead: tuple[int, ...]):
        d, n = config.d_model, config.d_ff
        if config.gated_mlp:
            self.gate = weight(init, (*lead, d, n), (-2,), numerics.storage)
        self.up = weight(init, (*lead, d, n), (-2,), numerics.storage)
        self.down = weight(init, (*lead, n, d), (-2,), numerics.storage)
        if config.mlp_bias:
            if config.gated_mlp:
                self.gate_bias = nnx.Param(jnp.zeros((*lead, n), numerics.storage_dtype))
            self.up_bias = nnx.Param(jnp.zeros((*lead, n), numerics.storage_dtype))
            self.down_bias = nnx.Param(jnp.zeros((*lead, d), numerics.storage_dtype))
        self.activation, self.gated, self.has_bias = config.activation, config.gated_mlp, config.mlp_bias
        self.numerics = numerics

    def neurons(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows N"]:
        """Activations of the hidden layer."""
        activation = ACTIVATIONS[self.activation]
        up = _product("...d,dn->...n", x, self.up, self.numerics)
        up = up + self.up_bias[...].astype(up.dtype) if self.has_bias else up
        if not self.gated:
            return activation(up).astype(self.numerics.compute_dtype)
        gate = _product("...d,dn->...n", x, self.gate, self.numerics)
        gate = gate + self.gate_bias[...].astype(gate.dtype) if self.has_bias else gate
        return (activation(gate) * up).astype(self.numerics.compute_dtype)

    def write(self, neurons: Float[Array, "*rows N"]) -> Float[Array, "*rows D"]:
        """The neurons' activations mapped back to the residual stream."""
        out = _product("...n,nd->...d", neurons, self.down, self.numerics)
        if self.has_bias:
            out = (out + self.down_bias[...]).astype(out.dtype)
        return out


class Block(nnx.Module):
    """Attention and MLP, each with its norms; with `lead = (L,)` the parameters of all L blocks stacked."""

    def __init__(self, config: ModelConfig, numerics: Numerics, init: Callable[..., Array], lead: tuple[int, ...] = ()):
        shape = (*lead, config.d_model)
        self.attn_norm = make_norm(config, shape, numerics) if config.pre_norms else NoNorm(shape, numerics)
        self.attention = Attention(config, numerics, init, lead)
        self.mlp_norm = make_norm(config, shape, numerics) if config.pre_norms else NoNorm(shape, numerics)
        self.mlp = MLP(config, numerics, init, lead)
        if config.post_norms:
            self.attn_post_norm = make_norm(config, shape, numerics)
            self.mlp_post_norm = make_norm(config, shape, numerics)


Blocks = Block | tuple[Block, ...]


class Transformer(nnx.Module):
    """Embedding, blocks (stacked, or a tuple of single ones), final norm and unembedding.

    `init(shape)` makes a weight; the default draws normal weights of standard deviation `0.02` from `rngs`.
    """

    def __init__(self, config: ModelConfig, numerics: Numerics, *, rngs: nnx.Rngs):
        def init(shape: tuple[int, ...]) -> Array:
            return (0.02 * jax.random.normal(rngs.params(), shape)).astype(numerics.storage_dtype)

        # A scale a word serves both what is looked up and, of tied embeddings, the product that gives logits.
        self.embedding = weight(init, (config.vocab_size, config.d_model), (-1,), numerics.storage)
        if config.positions == "learned":
            self.position_embedding = nnx.Param(init((config.max_position, config.d_model)))
        self.blocks: Blocks = Block(config, numerics, init, lead=(config.num_layers,))
        self.final_norm = make_norm(config, (config.d_model,), numerics)
        if not config.tied_embeddings:
            self.unembedding = weight(init, (config.d_model, config.vocab_size), (-2,), numerics.storage)
        self.config = config
        self.numerics = numerics

    def __repr__(self) -> str:
        count = count_weights(self)
        c = self.config
        return f"Transformer({c.family}, {c.num_layers} layers, d_model {c.d_model}, {count:,} parameters)"

    __str__ = __repr__

    def embed(self, tokens: Int[Array, "*rows"], positions: Int[Array, "*at"]) -> Float[Array, "*rows D"]:
        """Token ids at positions (of a shape that broadcasts to theirs) to residual-stream vectors."""
        dtype = self.numerics.compute_dtype
        x = rows_of(self.embedding, tokens).astype(dtype)
        if self.config.embedding_scale != 1.0:
            x = x * jnp.asarray(self.config.embedding_scale, dtype)
        if self.config.positions == "learned":
            # Padding may stand outside the context; what it reads is never seen.
            x = x + self.position_embedding[...].at[positions].get(mode="clip").astype(dtype)
        return x

    def logits(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows V"]:
        """Logits of a stream that the final norm has been applied to, in the accumulation dtype."""
        tied = self.config.tied_embeddings
        matrix, scale = operand(self.embedding if tied else self.unembedding)
        dtype = self.numerics.accumulate_dtype
        logits = _summed("...d,dv->...v", x, matrix.T if tied else matrix, scale, self.numerics, dtype)
        cap = self.config.logit_softcap
        return cap * jnp.tanh(logits / cap) if cap else logits


def with_blocks(transformer: Transformer, blocks: Blocks) -> Transformer:
    """The same arrays before and after other blocks."""
    out = copy.copy(transformer)
    out.blocks = nnx.data(blocks)
    return out


def layer(blocks: Blocks, index: int | Array) -> Block:
    """One block; `index` may be traced. What is taken at a traced index is a copy of one block either way, of single
    blocks in the dtype that products take, so that a GPU does not copy first and convert then."""
    if not isinstance(blocks, tuple):
        return jax.tree.map(lambda leaf: leaf[index], blocks)
    if not isinstance(index, jax.Array):
        return blocks[index]
    numerics = blocks[0].attention.numerics
    widened = partial(_widened, numerics.storage_dtype if numerics.in_parts else numerics.compute_dtype)
    return jax.lax.switch(index, [lambda block=block: jax.tree.map(widened, block) for block in blocks])


def _widened(dtype: jnp.dtype, weight: Array) -> Array:
    """A weight in a dtype that holds it exactly, as it is where that is not so."""
    return weight.astype(dtype) if jnp.promote_types(weight.dtype, dtype) == dtype and _is_float(weight) else weight


def _is_float(weight: Array) -> bool:
    return jnp.issubdtype(weight.dtype, jnp.floating)


def scan_layers(
    body: Callable[[Any, tuple[Any, ...]], tuple[Any, Any]], carry: Any, blocks: Blocks, *xs: Any
) -> tuple[Any, Any]:
    """`lax.scan` over layers of a body that takes (block, index, *one of each of xs): one compiled layer for all."""
    count = len(blocks) if isinstance(blocks, tuple) else len(jax.tree.leaves(blocks)[0])
    if not isinstance(blocks, tuple):
        return jax.lax.scan(body, carry, (blocks, jnp.arange(count), *xs))

    # The way back takes each block again: kept for it, the copies would be the stack once more.
    @partial(jax.checkpoint, prevent_cse=False, policy=_not_taken)
    def take(carry: Any, at: tuple[Any, ...]) -> tuple[Any, Any]:
        return body(carry, (layer(blocks, at[0]), *at))

    return jax.lax.scan(take, carry, (jnp.arange(count), *xs))


def _not_taken(primitive: Any, *_: Any, **__: Any) -> bool:
    """What is kept for derivatives: all but what a `switch` has taken."""
    return primitive.name != "cond"


def abstract_transformer(config: ModelConfig, numerics: Numerics) -> Transformer:
    """The same pytree with `jax.ShapeDtypeStruct` leaves: shapes without memory."""
    return jax.eval_shape(lambda: Transformer(config, numerics, rngs=nnx.Rngs(0)))
