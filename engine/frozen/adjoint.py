"""One block of the frozen pass, run backwards: written once for everything that pulls cotangents back.

Going up, x_mid = x + W_O z(norm(x)) and x_post = x_mid + m with m constant. Its adjoint, G being the cotangent of a
stream and `scale` = 1 / sigma:

    Z_h[t] = W_O^h G[t] * post_scale[t]        V_h[s] = sum_t P_h[t, s] Z_h[t]
    G_pre[s] = G[s] + centre(gain * sum_g W_V^g sum_{h in g} V_h[s]) * scale[s]

Buffers are [position, row, D]: rows of one position lie together, so every product is one large GEMM.

`observe(stream, G)` is called at resid_post, mlp_out, mlp_input, attn_out and resid_pre with the cotangent there, and
returns the one to go on with; it reads writers and injects targets, as its counterpart going up edits and taps. At
`heads` it is shown V [S, R, H, K], what each head's values receive; `values_in` takes it further to the stream. With
parallel blocks MLP and attention both read resid_pre, so what is injected at the MLP's input does not pass the
attention of its own block: what `observe("mlp_input", G)` adds to G joins after it.

In the highest block of a pass the cotangent of a row still stands at its target's position alone, and so does in every
block what has passed no attention: heads read one position of it.

Cost: 2 T R (D H K + D G K) + 2 T^2 R H K operations; in the highest block 2 T R D G K.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.model.config import ModelConfig
from causeway.engine.model.transformer import Block

Cotangent = Float[Array, "T R D"]
Observe = Callable[[str, Cotangent], Cotangent]


class Alone(NamedTuple):
    """Whether (`holds`, perhaps traced) each row's cotangent is zero outside of one position, and which: [R]."""

    holds: Bool[Array, ""] | bool
    position: Int[Array, " R"]


def adjoint_block(
    g: Cotangent, config: ModelConfig, observe: Observe, attention: Callable[[Cotangent], Cotangent]
) -> Cotangent:
    """The cotangent at resid_pre from the one at resid_post.

    Args:
        attention: what resid_pre receives through the block's attention of the cotangent of what that writes
            (`attention_adjoint` of the block).
    """
    g = observe("resid_post", g)
    if config.parallel_blocks:
        # What MLP inputs receive joins resid_pre after the attention that reads the same stream.
        received = observe("mlp_input", observe("mlp_out", g)) - g
        g = observe("attn_out", g)
        g = g + attention(g) + received
    else:
        g = observe("attn_out", observe("mlp_input", observe("mlp_out", g)))
        g = g + attention(g)
    return observe("resid_pre", g)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrozenAttention:
    """What one block's attention holds fixed.

    Attributes:
        pattern: [H, T, S]. attn_scale, post_scale: 1 / sigma of the norms before and after it, [T].
    """

    pattern: Float[Array, "H T S"]
    attn_scale: Float[Array, " T"]
    post_scale: Float[Array, " T"]


def attention_adjoint(
    block: Block, frozen: FrozenAttention, g: Cotangent, config: ModelConfig, observe: Observe, alone: Alone
) -> Cotangent:
    """What the stream before attention receives of the cotangent of its output, of which `alone` speaks."""
    t, r, _ = g.shape
    groups, dtype = config.num_kv_heads, g.dtype
    output = heads_out(block, config, dtype)
    if config.post_norms:
        g = g * frozen.post_scale[:, None, None].astype(dtype)
    pattern = frozen.pattern.astype(dtype)
    one, all_of = partial(_mix_alone, pattern, output, g, alone.position), partial(_mix, pattern, output, g)
    if isinstance(alone.holds, bool):
        mixed = one() if alone.holds else all_of()
    else:
        mixed = jax.lax.cond(alone.holds, one, all_of)
    mixed = observe("heads", mixed)
    by_group = mixed.reshape(t, r, groups, config.num_heads // groups, -1).sum(axis=3)
    read = values_in(block, dtype)
    return jnp.einsum("srgk,dgk->srd", by_group, read) * frozen.attn_scale[:, None, None].astype(dtype)


def heads_out(block: Block, config: ModelConfig, dtype: jnp.dtype) -> Float[Array, "H K D"]:
    """The map from heads' outputs to the stream, but for 1 / sigma of a norm that follows."""
    output = block.attention.output[...].astype(dtype)
    if not config.post_norms:
        return output
    return block.attn_post_norm.centre(output) * block.attn_post_norm.multiplier().astype(dtype)


def values_in(block: Block, dtype: jnp.dtype) -> Float[Array, "D G K"]:
    """The map from values' cotangents to the stream's, but for 1 / sigma.

    Gain and centring belong to the weights, where they cost D G K and not T R D.
    """
    read = block.attention.value.astype(dtype) * block.attn_norm.multiplier().astype(dtype)[:, None, None]
    return jnp.moveaxis(block.attn_norm.centre(jnp.moveaxis(read, 0, -1)), -1, 0)


def _mix(pattern: Float[Array, "H T S"], output: Float[Array, "H K D"], g: Cotangent) -> Float[Array, "S R H K"]:
    """What each head's values receive from every later position."""
    return jnp.einsum("hts,trhk->srhk", pattern, jnp.einsum("trd,hkd->trhk", g, output))


def _mix_alone(
    pattern: Float[Array, "H T S"], output: Float[Array, "H K D"], g: Cotangent, position: Int[Array, " R"]
) -> Float[Array, "S R H K"]:
    """The same where each row stands at one position."""
    z = jnp.einsum("rd,hkd->rhk", g[position, jnp.arange(g.shape[1])], output)
    return jnp.einsum("hrs,rhk->srhk", pattern[:, position], z)
