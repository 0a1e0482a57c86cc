"""One block of the decoder, written once for every way of running it.

    x_mid  = x + W_O attention(norm(x))          x_post = x_mid + mlp(norm(x_mid))

or, with parallel blocks (GPT-NeoX), x_post = x + W_O attention(norm(x)) + mlp(norm'(x)), which has no x_mid. Where the
family normalises what attention and MLP write (Gemma-2, OLMo-2), `attn_raw` and `mlp_raw` are before that norm,
`attn_out` and `mlp_out` after it: they are what is added to the stream. Where it does not normalise what they read
(OLMo-2), the norm is the identity, with a denominator of 1.

Norms show their denominators too, as 1 / sigma at each token: `attn_scale` and `mlp_scale` of the norms before
attention and MLP, `attn_post_scale` and `mlp_post_scale` of those after them, `final_scale` of the last.

How positions are mixed is the caller's business: `attend(q, k, v)` sees rotated queries and keys and returns the
heads' outputs (and may tap the pattern or write a cache on the way). `observe(stream, value)` is called at every
stream and returns the value to go on with.
"""

from collections.abc import Callable

from jaxtyping import Array, Float, Int

from causeway.engine.model.config import ModelConfig
from causeway.engine.model.norms import Norm
from causeway.engine.model.rope import rotate
from causeway.engine.model.transformer import Block

Observe = Callable[[str, Array], Array]
Attend = Callable[[Float[Array, "B T H K"], Float[Array, "B T G K"], Float[Array, "B T G K"]], Float[Array, "B T H K"]]


def ignore(_: str, value: Array) -> Array:
    """An observer that does nothing."""
    return value


def normed(norm: Norm, scale: str, x: Float[Array, "B T D"], observe: Observe) -> Float[Array, "B T D"]:
    """A whole norm, its denominators observed as the stream `scale` [B, T]."""
    return norm.scale(norm.normalise(x, observe(scale, norm.inverse_sigma(x))))


def apply_block(
    block: Block,
    index: int | Int[Array, ""],
    x: Float[Array, "B T D"],
    positions: Int[Array, "#B #T"],
    config: ModelConfig,
    attend: Attend,
    observe: Observe = ignore,
) -> Float[Array, "B T D"]:
    """The stream after block `index`; `positions` is [B, T], or [1, T] when the rows share them."""
    x = observe("resid_pre", x)
    written = _attention(block, index, x, positions, config, attend, observe)
    if config.parallel_blocks:
        return observe("resid_post", x + written + _mlp(block, x, config, observe))
    x = observe("resid_mid", x + written)
    return observe("resid_post", x + _mlp(block, x, config, observe))


def _attention(
    block: Block, index: int | Array, x: Array, positions: Array, config: ModelConfig, attend: Attend, observe: Observe
) -> Array:
    z = attend(*_projected(block, index, x, positions, config, observe))
    out = block.attention.write(observe("head_out", z))
    if config.post_norms:
        out = normed(block.attn_post_norm, "attn_post_scale", observe("attn_raw", out), observe)
    return observe("attn_out", out)


def keys_and_values(
    block: Block, index: int | Array, x: Float[Array, "B T D"], positions: Int[Array, "#B #T"], config: ModelConfig,
    observe: Observe = ignore,
) -> tuple[Float[Array, "B T G K"], Float[Array, "B T G K"]]:  # fmt: skip
    """What the block's attention sees of the tokens of its input: rotated keys, and values."""
    return _projected(block, index, x, positions, config, observe)[1:]


def _projected(
    block: Block, index: int | Array, x: Array, positions: Array, config: ModelConfig, observe: Observe
) -> tuple[Array, Array, Array]:
    q, k, v = block.attention.project(observe("attn_in", normed(block.attn_norm, "attn_scale", x, observe)))
    q, k, v = observe("query", q), observe("key", k), observe("value", v)
    dtype = block.attention.numerics.accumulate_dtype
    q, k = (rotate(heads, positions, config, dtype, index) for heads in (q, k))
    return q, k, v


def _mlp(block: Block, x: Array, config: ModelConfig, observe: Observe) -> Array:
    scale = observe("mlp_scale", block.mlp_norm.inverse_sigma(x))
    normalised = observe("mlp_norm", block.mlp_norm.normalise(x, scale))
    neurons = observe("mlp_act", block.mlp.neurons(observe("mlp_in", block.mlp_norm.scale(normalised))))
    out = block.mlp.write(neurons)
    if config.post_norms:
        out = normed(block.mlp_post_norm, "mlp_post_scale", observe("mlp_raw", out), observe)
    return observe("mlp_out", out)
