"""Second-order effects as vectors, factored into what depends on the prompt and what on weights alone.

What neuron n of layer l writes to the output through exactly one later head is

    phi_n = sum_k s_n^k M_n^k,        k = (l', h), a head of a later layer
    s_n^k = sum_t P^k[T, t] a_n(t) / sigma_l'(t)                              the code: numbers of the prompt
    M_n^k = [C w_n * gain_l'] W_V^k W_O^k C diag(gain_f)                      the map: weights alone

P being the pattern of the token T that is read, w_n the neuron's row of the output map, C the norms' centring.
Denominators at T, 1 / sigma of the last norm and of norms after attention, scale whole codes and are part of them here;
so is that of a norm after the MLP. Rotary positions, windows and caps act through P alone, and heads of a group share
W_V. Biases are no part of it (`neurons` keeps them apart).

Vectors are of the last norm's output, gain included: their inner product with a column of the unembedding is a logit,
with a direction of `final_norm` a score, and sum_k (M_n^k . u) s_n^k is the order 1 of `neurons.neuron_effects`.

Sizes: codes [B, M, K], maps [M, K, D]; phi [M, B, D] never has to be formed: its covariances and norms follow from
codes and M M' [M, K, K] (`engine/sparse`).
Cost: codes 2 T K M a prompt; maps 2 M D (G + H) K_h a layer l', once; vectors 2 K D M a prompt.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.frozen.adjoint import heads_out, values_in
from causeway.engine.frozen.neurons import ACTIVATIONS, neurons_out
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.model.transformer import Block, Transformer, layer
from causeway.kernels.second_order_fold import second_order_fold


def effect_codes(
    record: FrozenRecord, at: int, neurons: Int[Array, " M"], position: Int[Array, " B"], aimed: int | None = None
) -> Float[Array, "B M K"]:
    """Codes of some neurons of layer `at`, heads of each layer above side by side.

    Args:
        record: of B prompts, with `neurons.ACTIVATIONS` among its streams.
        position: of the token read in each.
        aimed: the layer whose `resid_post` is read; None: the last norm's output.
    """
    activations = record.streams[ACTIVATIONS][:, at]
    activations = activations[:, :, neurons].astype(record.final_scale.dtype)
    if record.mlp_post_scale is not None:
        activations = activations * record.mlp_post_scale[:, at, :, None]
    row = jnp.arange(len(position))
    there = record.attn_post_scale[row, :, position]
    if aimed is None:
        there = there * record.final_scale[row, position][:, None]
    above, scale = _above(at, aimed), record.attn_scale * there[:, :, None]
    return second_order_fold(record.pattern[:, above], position, scale[:, above], activations)


def effect_maps(
    transformer: Transformer, at: int, neurons: Int[Array, " M"], aimed: int | None = None
) -> Float[Array, "M K D"]:
    """Maps of some neurons of layer `at`, one layer above after another; `aimed` as in `effect_codes`."""
    dtype = transformer.numerics.accumulate_dtype
    written = neurons_out(layer(transformer.blocks, at), transformer.config, dtype)[neurons]

    def through(index: Int[Array, ""]) -> Float[Array, "M H D"]:
        return _through_heads(transformer, layer(transformer.blocks, index), written, aimed is None)

    above = jnp.arange(transformer.config.num_layers)[_above(at, aimed)]
    maps = jax.lax.map(through, above)
    return jnp.moveaxis(maps, 0, 1).reshape(len(neurons), -1, maps.shape[-1])


def effect_vectors(codes: Float[Array, "B M K"], maps: Float[Array, "M K D"]) -> Float[Array, "M B D"]:
    """The effects themselves, neurons first: each is a product of its own."""
    return jnp.einsum("bmk,mkd->mbd", codes, maps)


def _above(at: int, aimed: int | None) -> slice:
    """Layers whose heads stand between a neuron's and what is read."""
    return slice(at + 1, None if aimed is None else aimed + 1)


def _through_heads(
    transformer: Transformer, block: Block, written: Float[Array, "M D"], final: bool
) -> Float[Array, "M H D"]:
    """What each head of a block makes of vectors of the stream, and the last norm of that, at patterns and denominators
    of 1."""
    config, dtype, norm = transformer.config, written.dtype, transformer.final_norm
    values = jnp.einsum("md,dgk->mgk", written, values_in(block, dtype))
    values = jnp.repeat(values, config.num_heads // config.num_kv_heads, axis=1)
    out = heads_out(block, config, dtype)
    if final:
        out = norm.centre(out) * norm.multiplier().astype(dtype)
    return jnp.einsum("mhk,hkd->mhd", values, out)
