"""What the frozen pass holds fixed: one forward pass of one prompt, recorded.

With every attention pattern P and every norm's denominator sigma kept at its recorded value, and what MLPs write kept
as constants, the stream is a linear function of the token embeddings and of those constants:

    norm(x) = gain * centre(x) / sigma (+ bias)          z_h[t] = sum_s P_h[t, s] v_h[s]

`scale` is 1 / sigma at a position. Centring is the identity for RMS norms and subtracts the mean for LayerNorm.

A prompt is padded on the right to a bucket: causality keeps padding from touching anything before it.

Shapes: L layers, T tokens of the bucket, H heads, D model.
Memory: L H T^2 for the patterns, 5 L T D for the streams.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.finite import refuse, rows_finite
from causeway.engine.model.forward import causal_pass
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

STREAMS = ("attn_pattern", "resid_pre", "mlp_out", "resid_post")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    """One prompt's recorded pass.

    Attributes:
        pattern: attention patterns [L, H, T, S]. attn_scale, mlp_scale: 1 / sigma of the norms before attention and
            MLP, [L, T]. attn_post_scale: of the norm behind attention, ones where the family has none. final_scale:
            [T]. embedding: the stream before the first block [T, D], position embeddings left out. streams: the
            streams that dictionaries may read or write, [L, T, D] each. logits: [T, V]. finite: [T], whether a token's
            streams and logits are numbers.
    """

    pattern: Float[Array, "L H T S"]
    attn_scale: Float[Array, "L T"]
    attn_post_scale: Float[Array, "L T"]
    mlp_scale: Float[Array, "L T"]
    final_scale: Float[Array, " T"]
    embedding: Float[Array, "T D"]
    streams: dict[str, Float[Array, "L T D"]]
    logits: Float[Array, "T V"]
    finite: Bool[Array, " T"]


def record_prompt(transformer: Transformer, tokens: Sequence[int], dictionary: DictionaryConfig) -> FrozenRecord:
    """Run a prompt once, padded to its bucket, and keep what the frozen pass and a dictionary's streams need.

    Raises:
        NotFiniteError: the pass does not give numbers.
    """
    width, length = bucket_width(len(tokens), transformer.config.max_position), len(tokens)
    padded = jnp.asarray(np.pad(np.asarray(tokens, np.int32), (0, width - length)))
    reads = tuple(sorted({dictionary.stream, dictionary.output_stream}))
    record = record_pass(transformer, padded, jnp.int32(length), reads)
    if not np.asarray(record.finite)[:length].all():
        refuse(lambda: full_precision(causal_pass)(transformer, padded[None], lengths=jnp.array([length])))
    return record


@partial(jax.jit, static_argnames="reads")
@full_precision
def record_pass(
    transformer: Transformer, tokens: Int[Array, " T"], length: Int[Array, ""], reads: tuple[str, ...]
) -> FrozenRecord:
    """Run a prompt once and keep what the frozen pass needs; zeros where there is no token.

    Args:
        transformer: the modules.
        tokens: padded on the right. length: how many there are.
        reads: further streams wanted, beside resid_pre, mlp_out and resid_post.
    """
    config = transformer.config
    streams = tuple(dict.fromkeys((*STREAMS, *_middle(config), *_written(config), *reads)))
    taps = tuple(bind_tap(TapSpec(stream, "raw", tuple(range(config.num_layers))), None) for stream in streams)
    out = causal_pass(transformer, tokens[None], Instruments((), taps), length[None])
    found = {stream: jnp.asarray(record.values)[:, 0] for stream, record in zip(streams, out.records, strict=True)}
    pattern = found.pop("attn_pattern")
    blocks = transformer.blocks
    middle = found["resid_pre"] if config.parallel_blocks else found["resid_mid"]
    before = found.pop("head_out", None)
    post = jnp.ones(middle.shape[:2], pattern.dtype)
    if before is not None:
        post = blocks.attn_post_norm.inverse_sigma(jax.vmap(lambda b, z: b.write(z))(blocks.attention, before))
    embedding = jnp.asarray(transformer.embedding[...])[tokens] * config.embedding_scale
    return FrozenRecord(
        pattern=pattern,
        attn_scale=blocks.attn_norm.inverse_sigma(found["resid_pre"]),
        attn_post_scale=post,
        mlp_scale=blocks.mlp_norm.inverse_sigma(middle),
        final_scale=transformer.final_norm.inverse_sigma(found["resid_post"][-1]),
        embedding=embedding.astype(middle.dtype),
        streams=found,
        logits=out.logits[0],
        finite=out.finite[0] & rows_finite(out.logits)[0],
    )


def _middle(config: ModelConfig) -> tuple[str, ...]:
    return () if config.parallel_blocks else ("resid_mid",)


def _written(config: ModelConfig) -> tuple[str, ...]:
    """Where a norm stands behind attention, its input is what the heads write together."""
    return ("head_out",) if config.post_norms else ()
