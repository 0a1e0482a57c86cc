"""One block of the frozen pass, run backwards: written once for everything that pulls cotangents back.

Going up, x_mid = x + W_O z(norm(x)) and x_post = x_mid + m with m constant. Its adjoint, G being the cotangent of a
stream and `scale` = 1 / sigma:

    Z_h[t] = W_O^h G[t] * post_scale[t]        V_h[s] = sum_t P_h[t, s] Z_h[t]
    G_pre[s] = G[s] + centre(gain * sum_g W_V^g sum_{h in g} V_h[s]) * scale[s]

Buffers are [position, row, D]: rows of one position lie together, so every product is one large GEMM.

`observe(stream, G)` is called at resid_post, mlp_out, resid_mid and resid_pre with the cotangent there, and returns
the one to go on with; it reads writers and injects targets, as its counterpart going up edits and taps. At `heads` it
is shown V [S, R, H, K], what each head's values receive; `values_in` takes it further to the stream. With parallel
blocks MLP and attention both read resid_pre, so what is injected at the MLP's input does not pass the attention of
its own block: what `observe("mlp_input", G)` adds to G joins after it.

In the highest block of a pass the cotangent of a row still stands at its target's position alone: heads read one
position of it.

Cost: 2 T R (D H K + D G K) + 2 T^2 R H K operations; in the highest block 2 T R D G K.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.model.config import ModelConfig
from causeway.engine.model.transformer import Block

Cotangent = Float[Array, "T R D"]
Observe = Callable[[str, Cotangent], Cotangent]


class Alone(NamedTuple):
    """Whether (`holds`, traced) each row's cotangent is zero outside of one position, and which: [R]."""

    holds: Bool[Array, ""]
    position: Int[Array, " R"]


def adjoint_block(
    block: Block,
    pattern: Float[Array, "H T S"],
    attn_scale: Float[Array, " T"],
    post_scale: Float[Array, " T"],
    g: Cotangent,
    config: ModelConfig,
    observe: Observe,
    alone: Alone,
) -> Cotangent:
    """The cotangent at resid_pre from the one at resid_post; `alone` speaks of the one that attention receives."""
    g = observe("resid_post", g)
    if config.parallel_blocks:
        # What MLP inputs receive joins resid_pre after the attention that reads the same stream.
        received = observe("mlp_input", observe("mlp_out", g)) - g
        g = g + _attention(block, pattern, attn_scale, post_scale, g, config, observe, alone) + received
    else:
        g = observe("mlp_input", observe("mlp_out", g))
        g = g + _attention(block, pattern, attn_scale, post_scale, g, config, observe, alone)
    return observe("resid_pre", g)


def _attention(
    block: Block,
    pattern: Float[Array, "H T S"],
    attn_scale: Float[Array, " T"],
    post_scale: Float[Array, " T"],
    g: Cotangent,
    config: ModelConfig,
    observe: Observe,
    alone: Alone,
) -> Cotangent:
    """What the attention's input receives of the cotangent of its output."""
    t, r, _ = g.shape
    groups, dtype = config.num_kv_heads, g.dtype
    output = block.attention.output[...].astype(dtype)
    if config.post_norms:
        output = block.attn_post_norm.centre(output) * block.attn_post_norm.multiplier().astype(dtype)
        g = g * post_scale[:, None, None].astype(dtype)
    mixed = jax.lax.cond(alone.holds, _mix_alone, _mix, pattern.astype(dtype), output, g, alone.position)
    mixed = observe("heads", mixed)
    by_group = mixed.reshape(t, r, groups, config.num_heads // groups, -1).sum(axis=3)
    read = values_in(block, dtype)
    return jnp.einsum("srgk,dgk->srd", by_group, read) * attn_scale[:, None, None].astype(dtype)


def values_in(block: Block, dtype: jnp.dtype) -> Float[Array, "D G K"]:
    """The map from values' cotangents to the stream's, but for 1 / sigma.

    Gain and centring belong to the weights, where they cost D G K and not T R D.
    """
    read = block.attention.value[...].astype(dtype) * block.attn_norm.multiplier().astype(dtype)[:, None, None]
    return jnp.moveaxis(block.attn_norm.centre(jnp.moveaxis(read, 0, -1)), -1, 0)


def _mix(
    pattern: Float[Array, "H T S"], output: Float[Array, "H K D"], g: Cotangent, position: Int[Array, " R"]
) -> Float[Array, "S R H K"]:
    """What each head's values receive from every later position."""
    return jnp.einsum("hts,trhk->srhk", pattern, jnp.einsum("trd,hkd->trhk", g, output))


def _mix_alone(
    pattern: Float[Array, "H T S"], output: Float[Array, "H K D"], g: Cotangent, position: Int[Array, " R"]
) -> Float[Array, "S R H K"]:
    """The same where each row stands at one position."""
    z = jnp.einsum("rd,hkd->rhk", g[position, jnp.arange(g.shape[1])], output)
    return jnp.einsum("hrs,rhk->srhk", pattern[:, position], z)
