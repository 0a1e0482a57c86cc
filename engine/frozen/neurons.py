"""Effects of every neuron of every layer on directions, ordered by how many attentions they pass: one walk down.

Where the last norm's output is read along u at one position T, the frozen pass makes the number u . y(T) a sum over
all that writes to the stream. The part of neuron n of layer l in it is linear in its activations,

    score_k[l, n] = sum_t a_n(t) <G_k[l, t], w_n>

G_k being the cotangent of the stream above MLP l that has passed k attentions on its way down from T, w_n the neuron's
row of the output map. Order 0 is what a neuron writes into the stream of T directly, order 1 what exactly one later
head takes there (the second-order effect of Gandelsman, Efros and Steinhardt, 2025), higher orders what two or more do
one after another; all orders together are the neuron's effect in the frozen pass. With MLPs constant no path passes
another MLP.

What is no neuron's is kept apart: biases of MLPs, what attention writes whatever it reads (biases of its output, of its
values and of the norm before them), and the stream before the first block. Over all sources and orders the parts add up
to u . y(T) less the last norm's own bias.

Shapes: L layers, O = orders + 1, R directions, N neurons, T tokens, all of one prompt; `jax.vmap` runs several.
Cost: 2 T N D R for each layer and order above 0, and orders - 1 times the adjoint of attention (see `adjoint`), of
which the first order's is 2 T D G K R. Order 0 is read at T alone.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from causeway.engine.arrays import AnyArray
from causeway.engine.frozen.adjoint import heads_out
from causeway.engine.frozen.pullback import Targets, descend, inject
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.transformer import Block, Transformer, layer

ACTIVATIONS = "mlp_act"
STREAMS = (ACTIVATIONS, "embed")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Effects:
    """Parts of R numbers, by order.

    Attributes:
        neurons: [L, O, R, N]. mlp_biases: of the MLPs' output biases, [L, O, R]. attention: of what attention writes
            whatever it reads, [L, O, R]. embedding: of the stream before the first block, [O, R].
    """

    neurons: Float[AnyArray, "*B L O R N"]
    mlp_biases: Float[AnyArray, "*B L O R"]
    attention: Float[AnyArray, "*B L O R"]
    embedding: Float[AnyArray, "*B O R"]


def neuron_effects(transformer: Transformer, record: FrozenRecord, targets: Targets, *, orders: int) -> Effects:
    """The parts of R numbers read in one prompt's frozen pass.

    Args:
        transformer: the modules.
        record: of the prompt, with `STREAMS` among its streams.
        targets: at layer L, or at the stream behind a layer below; all of one layer.
        orders: most attentions passed.
    """
    config, rows = transformer.config, targets.vector.shape[0]
    count, dtype = config.num_layers, targets.vector.dtype
    shape = (count, orders + 1, rows)
    zeros = (jnp.zeros((*shape, config.d_ff), dtype), jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def meet(index: Array, carry: Any) -> "_Reader":
        return _Reader(transformer, record, targets, index, carry)

    width = record.embedding.shape[0]
    g, (neurons, mlp_biases, attention) = descend(transformer, record, targets, width, meet, zeros, orders)
    first = record.streams["embed"][0].astype(dtype)
    embedding = jnp.einsum("tqd,td->q", g, first).reshape(orders + 1, rows)
    return Effects(neurons, mlp_biases, attention, embedding)


def neurons_out(block: Block, config: ModelConfig, dtype: jnp.dtype) -> Float[Array, "N D"]:
    """What each neuron writes to the stream at an activation of 1, but for 1 / sigma of a norm that follows."""
    return _past_norm(block, block.mlp.down[...].astype(dtype), config)


def _past_norm(block: Block, written: Float[Array, "*rows D"], config: ModelConfig) -> Float[Array, "*rows D"]:
    if not config.post_norms:
        return written
    return block.mlp_post_norm.centre(written) * block.mlp_post_norm.multiplier().astype(written.dtype)


def attention_constant(block: Block, config: ModelConfig, dtype: jnp.dtype) -> Float[Array, " D"]:
    """What attention writes whatever it reads, but for 1 / sigma of a norm that follows; weights of a head sum to 1."""
    attention, norm = block.attention, block.attn_norm
    out = heads_out(block, config, dtype)
    value = jnp.zeros((config.num_kv_heads, config.head_dim), dtype)
    if hasattr(norm, "bias"):
        value = value + jnp.einsum("d,dgk->gk", norm.bias[...].astype(dtype), attention.value.astype(dtype))
    if config.attention_bias:
        value = value + attention.value_bias.astype(dtype)
    constant = jnp.einsum("hk,hkd->d", jnp.repeat(value, config.num_heads // config.num_kv_heads, axis=0), out)
    if not config.output_bias:
        return constant
    bias = attention.output_bias[...].astype(dtype)
    if config.post_norms:
        bias = block.attn_post_norm.centre(bias) * block.attn_post_norm.multiplier().astype(dtype)
    return constant + bias


class _Reader:
    """One layer of the walk, read at what its MLP and its attention write."""

    def __init__(self, transformer: Transformer, record: FrozenRecord, targets: Targets, index: Array, carry: Any):
        self.config, self.record, self.targets, self.index = transformer.config, record, targets, index
        self.block = layer(transformer.blocks, index)
        self.carry = carry
        self.rows = targets.vector.shape[0]

    def __call__(self, stream: str, g: Float[Array, "T R *D"]) -> Float[Array, "T R *D"]:
        """The cotangent to go on with."""
        if stream == "resid_post":
            # Targets of the last stream of all have been there since the walk began.
            return inject(g, self.targets, self.index)
        if stream == "mlp_out":
            self._read_mlp(g)
        elif stream == "attn_out":
            scale = self.record.attn_post_scale[self.index]
            self._keep(2, self._summed(g, attention_constant(self.block, self.config, g.dtype), scale))
        return g

    def _read_mlp(self, g: Float[Array, "T R D"]) -> None:
        config, dtype = self.config, g.dtype
        activations = self.record.streams[ACTIVATIONS][self.index].astype(dtype)
        scale, written = jnp.ones(len(g), dtype), neurons_out(self.block, config, dtype)
        if (post := self.record.mlp_post_scale) is not None:
            scale = post[self.index].astype(dtype)
            activations = activations * scale[:, None]
        # Order 0 stands at the targets' positions alone.
        direct = self._direct(g) @ written.T * activations[self.targets.position]

        def later() -> Float[Array, "r N"]:
            # With tokens last, the sum over them reads what the product wrote once, in order.
            pushed = jnp.einsum("trd,nd->rnt", g[:, self.rows :], written)
            return jnp.einsum("rnt,nt->rn", pushed, activations.T)

        def nothing() -> Float[Array, "r N"]:
            return jnp.zeros((g.shape[1] - self.rows, config.d_ff), dtype)

        # Above the highest MLP there is no attention to pass.
        top = jnp.minimum(jnp.max(jnp.asarray(self.targets.layer)), config.num_layers - 1)
        self._keep(0, jnp.concatenate([direct, jax.lax.cond(self.index < top, later, nothing)]))
        if config.mlp_bias:
            bias = _past_norm(self.block, self.block.mlp.down_bias[...].astype(dtype), config)
            self._keep(1, self._summed(g, bias, scale))

    def _direct(self, g: Float[Array, "T R D"]) -> Float[Array, "r D"]:
        return g[self.targets.position, jnp.arange(self.rows)]

    def _summed(self, g: Float[Array, "T R D"], vector: Float[Array, " D"], scale: Array) -> Float[Array, " R"]:
        """The same vector written at every token."""
        return scale.astype(g.dtype) @ (g @ vector)

    def _keep(self, place: int, found: Float[Array, "*rows"]) -> None:
        kept = list(self.carry)
        shaped = found.reshape(-1, self.rows, *found.shape[1:])
        kept[place] = kept[place].at[self.index].set(shaped)
        self.carry = tuple(kept)
