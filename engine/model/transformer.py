"""The decoder's modules: parameters and their shapes, and the pure functions of one token's vector.

Flax NNX defines the modules; they are pytrees, so `jax.jit`, `lax.scan` and `jax.tree.map` execute them without
any NNX transform. The parameters of all blocks are stacked on a leading layer axis ([L, ...]); `layer(blocks, l)`
takes one block out. Everything that mixes positions (attention patterns, caches) lives in `attention.py` and
`forward.py`; here is only what acts on each position alone.

Shapes: D model, H heads, G kv heads, K head width, N neurons, V vocabulary, L layers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from causeway.engine.model.config import ModelConfig, Numerics


def _product(equation: str, x: Array, weight: Array, numerics: Numerics) -> Array:
    """Einsum in the compute dtype with sums in the accumulation dtype."""
    out = jnp.einsum(
        equation,
        x.astype(numerics.compute_dtype),
        weight.astype(numerics.compute_dtype),
        preferred_element_type=numerics.accumulate_dtype,
    )
    return out.astype(numerics.compute_dtype)


class RMSNorm(nnx.Module):
    """y = gain * x / sqrt(mean(x^2) + eps), computed in the accumulation dtype."""

    def __init__(self, shape: tuple[int, ...], eps: float, numerics: Numerics):
        self.gain = nnx.Param(jnp.ones(shape, numerics.storage_dtype))
        self.eps = eps
        self.numerics = numerics

    def normalise(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """x over its root mean square, without the gain."""
        x = x.astype(self.numerics.accumulate_dtype)
        return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.eps)

    def scale(self, normalised: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """Apply the gain and return to the compute dtype."""
        gain = self.gain[...].astype(self.numerics.accumulate_dtype)
        return (normalised * gain).astype(self.numerics.compute_dtype)

    def __call__(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        """The whole norm."""
        return self.scale(self.normalise(x))


class Attention(nnx.Module):
    """Query, key, value and output maps of grouped-query attention; H / G query heads share a key/value head."""

    def __init__(self, config: ModelConfig, numerics: Numerics, init: Callable[..., Array], lead: tuple[int, ...]):
        d, h, g, k = config.d_model, config.num_heads, config.num_kv_heads, config.head_dim
        self.query = nnx.Param(init((*lead, d, h, k)))
        self.key = nnx.Param(init((*lead, d, g, k)))
        self.value = nnx.Param(init((*lead, d, g, k)))
        self.output = nnx.Param(init((*lead, h, k, d)))
        if config.attention_bias:
            self.query_bias = nnx.Param(jnp.zeros((*lead, h, k), numerics.storage_dtype))
            self.key_bias = nnx.Param(jnp.zeros((*lead, g, k), numerics.storage_dtype))
            self.value_bias = nnx.Param(jnp.zeros((*lead, g, k), numerics.storage_dtype))
            self.output_bias = nnx.Param(jnp.zeros((*lead, d), numerics.storage_dtype))
        self.has_bias = config.attention_bias
        self.numerics = numerics

    def project(
        self, x: Float[Array, "*rows D"]
    ) -> tuple[Float[Array, "*rows H K"], Float[Array, "*rows G K"], Float[Array, "*rows G K"]]:
        """Queries, keys and values before rotation."""
        q = _product("...d,dhk->...hk", x, self.query[...], self.numerics)
        k = _product("...d,dgk->...gk", x, self.key[...], self.numerics)
        v = _product("...d,dgk->...gk", x, self.value[...], self.numerics)
        if self.has_bias:
            q, k, v = q + self.query_bias[...], k + self.key_bias[...], v + self.value_bias[...]
        dtype = self.numerics.compute_dtype
        return q.astype(dtype), k.astype(dtype), v.astype(dtype)

    def write(self, z: Float[Array, "*rows H K"]) -> Float[Array, "*rows D"]:
        """The heads' outputs mapped back to the residual stream and summed."""
        out = _product("...hk,hkd->...d", z, self.output[...], self.numerics)
        if self.has_bias:
            out = (out + self.output_bias[...]).astype(out.dtype)
        return out


class GatedMLP(nnx.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig, numerics: Numerics, init: Callable[..., Array], lead: tuple[int, ...]):
        d, n = config.d_model, config.d_ff
        self.gate = nnx.Param(init((*lead, d, n)))
        self.up = nnx.Param(init((*lead, d, n)))
        self.down = nnx.Param(init((*lead, n, d)))
        if config.mlp_bias:
            self.gate_bias = nnx.Param(jnp.zeros((*lead, n), numerics.storage_dtype))
            self.up_bias = nnx.Param(jnp.zeros((*lead, n), numerics.storage_dtype))
            self.down_bias = nnx.Param(jnp.zeros((*lead, d), numerics.storage_dtype))
        self.has_bias = config.mlp_bias
        self.numerics = numerics

    def neurons(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows N"]:
        """Activations of the hidden layer."""
        gate = _product("...d,dn->...n", x, self.gate[...], self.numerics)
        up = _product("...d,dn->...n", x, self.up[...], self.numerics)
        if self.has_bias:
            gate, up = gate + self.gate_bias[...], up + self.up_bias[...]
        return (jax.nn.silu(gate) * up).astype(self.numerics.compute_dtype)

    def write(self, neurons: Float[Array, "*rows N"]) -> Float[Array, "*rows D"]:
        """The neurons' activations mapped back to the residual stream."""
        out = _product("...n,nd->...d", neurons, self.down[...], self.numerics)
        if self.has_bias:
            out = (out + self.down_bias[...]).astype(out.dtype)
        return out


class Block(nnx.Module):
    """Pre-norm attention and MLP; with `lead = (L,)` the parameters of all L blocks stacked."""

    def __init__(self, config: ModelConfig, numerics: Numerics, init: Callable[..., Array], lead: tuple[int, ...] = ()):
        self.attn_norm = RMSNorm((*lead, config.d_model), config.norm_eps, numerics)
        self.attention = Attention(config, numerics, init, lead)
        self.mlp_norm = RMSNorm((*lead, config.d_model), config.norm_eps, numerics)
        self.mlp = GatedMLP(config, numerics, init, lead)


class Transformer(nnx.Module):
    """Embedding, stacked blocks, final norm and unembedding.

    `init(shape)` makes a weight; the default draws normal weights of standard deviation `0.02` from `rngs`.
    """

    def __init__(self, config: ModelConfig, numerics: Numerics, *, rngs: nnx.Rngs):
        def init(shape: tuple[int, ...]) -> Array:
            return (0.02 * jax.random.normal(rngs.params(), shape)).astype(numerics.storage_dtype)

        self.embedding = nnx.Param(init((config.vocab_size, config.d_model)))
        self.blocks = Block(config, numerics, init, lead=(config.num_layers,))
        self.final_norm = RMSNorm((config.d_model,), config.norm_eps, numerics)
        if not config.tied_embeddings:
            self.unembedding = nnx.Param(init((config.d_model, config.vocab_size)))
        self.config = config
        self.numerics = numerics

    def embed(self, tokens: Array) -> Float[Array, "*rows D"]:
        """Token ids to residual-stream vectors."""
        return self.embedding[...][tokens].astype(self.numerics.compute_dtype)

    def logits(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows V"]:
        """Logits of a stream that the final norm has been applied to, in the accumulation dtype."""
        weight = self.embedding[...].T if self.config.tied_embeddings else self.unembedding[...]
        dtype = self.numerics.compute_dtype
        return jnp.einsum(
            "...d,dv->...v",
            x.astype(dtype),
            weight.astype(dtype),
            preferred_element_type=self.numerics.accumulate_dtype,
        )


def layer(blocks: Block, index: int | Array) -> Block:
    """One block out of stacked ones; `index` may be traced."""
    return jax.tree.map(lambda leaf: leaf[index], blocks)


def abstract_transformer(config: ModelConfig, numerics: Numerics) -> Transformer:
    """The same pytree with `jax.ShapeDtypeStruct` leaves: shapes without memory."""
    return jax.eval_shape(lambda: Transformer(config, numerics, rngs=nnx.Rngs(0)))
