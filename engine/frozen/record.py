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

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.gathered import to_host
from causeway.engine.intervention.held import Held, needed_streams
from causeway.engine.intervention.hold import HeldLayers
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import NORMS, once
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import refuse, rows_finite
from causeway.engine.model.forward import LogitsOf, Pass, causal_pass
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

STREAMS = ("resid_pre", "mlp_out", "resid_post")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    """One prompt's recorded pass.

    Attributes:
        pattern: attention patterns [L, H, T, S]. attn_scale, mlp_scale: 1 / sigma of the norms before attention and
            MLP, [L, T]. attn_post_scale: of the norm after attention, ones where the family has none. mlp_post_scale:
            of the norm after the MLP, where there is one. final_scale: [T]. embedding: the stream before the first
            block [T, D], position embeddings left out. streams: those that dictionaries may read or write and those
            asked for, [L, T, ...] each. logits: [T, V]. finite: [T], whether a token's streams and logits are numbers.
    """

    pattern: Float[Array, "L H T S"]
    attn_scale: Float[Array, "L T"]
    attn_post_scale: Float[Array, "L T"]
    mlp_scale: Float[Array, "L T"]
    final_scale: Float[Array, " T"]
    embedding: Float[Array, "T D"]
    streams: dict[str, Float[Array, "L T *_"]]
    logits: Float[Array, "T V"]
    finite: Bool[Array, " T"]
    mlp_post_scale: Float[Array, "L T"] | None = None

    def held(self, held: HeldLayers, dictionary: InMemory) -> Held:
        """What rows of this prompt hold of it."""
        norms = {name: getattr(self, name) for name in NORMS} | {"final_scale": self.final_scale[None]}
        kept = {"attn_pattern": self.pattern, **norms, **self.streams}
        needed = needed_streams(held, self.mlp_post_scale is not None, dictionary)
        return Held.of(held, {name: kept[name][:, None] for name in needed}, dictionary)


def record_prompt(
    transformer: Transformer, tokens: Sequence[int], dictionary: DictionaryConfig, further: Sequence[str] = ()
) -> FrozenRecord:
    """Run a prompt once, padded to its bucket, and keep what the frozen pass and a dictionary's streams need.

    Args:
        further: streams wanted beside those.

    Raises:
        NotFiniteError: the pass does not give numbers.
    """
    width, length = bucket_width(len(tokens), transformer.config.max_position), len(tokens)
    padded = jnp.asarray(np.pad(np.asarray(tokens, np.int32), (0, width - length)))
    reads = tuple(sorted({dictionary.stream, dictionary.output_stream, *further}))
    record = record_pass(transformer, padded, jnp.int32(length), reads)
    if not to_host(record.finite)[:length].all():
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
    rows = record_rows(transformer, tokens[None], length[None], (*STREAMS, *reads), "all")
    return jax.tree.map(lambda array: array[0], rows)


def record_rows(
    transformer: Transformer,
    tokens: Int[Array, "B T"],
    lengths: Int[Array, " B"],
    reads: tuple[str, ...],
    logits_of: LogitsOf,
) -> FrozenRecord:
    """The records of many prompts, each array with a leading B: a program to be compiled.

    Args:
        reads: streams kept. logits_of: whose logits are.
    """
    config = transformer.config
    norms = tuple(name for name in NORMS if config.post_norms or "post" not in name)
    streams = tuple(dict.fromkeys(("attn_pattern", *norms, *reads)))
    out, found = recorded(transformer, tokens, lengths, streams, logits_of)
    embedding = jnp.asarray(transformer.embedding[...])[tokens] * config.embedding_scale
    found = {stream: jnp.moveaxis(values, 1, 0) for stream, values in found.items()}
    pattern, scales = found.pop("attn_pattern"), {name: found.pop(name) for name in norms}
    nothing = {"attn_post_scale": jnp.ones_like(scales["attn_scale"])} if not config.post_norms else {}
    finite = out.finite & rows_finite(out.logits) if logits_of == "all" else out.finite
    return FrozenRecord(
        pattern=pattern,
        **scales | nothing | {"final_scale": scales["final_scale"][:, 0]},
        embedding=embedding.astype(transformer.numerics.compute_dtype),
        streams=found,
        logits=out.logits,
        finite=finite,
    )


def recorded(
    transformer: Transformer,
    tokens: Int[Array, "B T"],
    lengths: Int[Array, " B"],
    streams: tuple[str, ...],
    logits_of: LogitsOf = "all",
    keep_cache: bool = False,
) -> tuple[Pass, dict[str, Float[Array, "L B T *D"]]]:
    """A pass, and its streams in every layer; a program to be compiled."""
    count = transformer.config.num_layers
    single = {stream: once(stream, count) for stream in streams}
    layers = {stream: tuple(range(count)) if at is None else (at,) for stream, at in single.items()}
    taps = tuple(bind_tap(TapSpec(stream, "raw", at), None) for stream, at in layers.items())
    out = causal_pass(transformer, tokens, Instruments((), taps), lengths, keep_cache, logits_of)
    return out, {stream: jnp.asarray(record.values) for stream, record in zip(streams, out.records, strict=True)}


@partial(jax.jit, static_argnames="streams")
@full_precision
def _streams(
    transformer: Transformer, tokens: Int[Array, "B T"], lengths: Int[Array, " B"], streams: tuple[str, ...]
) -> dict[str, Float[Array, "L B T *D"]]:
    return recorded(transformer, tokens, lengths, streams, None)[1]


def held_of(
    transformer: Transformer,
    tokens: Int[AnyArray, "B T"],
    lengths: Int[AnyArray, " B"],
    held: HeldLayers,
    dictionary: InMemory | None = None,
) -> Held | None:
    """What a pass of these prompts, padded on the right, holds of their clean pass; None where nothing is.

    Where generation goes on from it, of one prompt.
    """
    if not held:
        return None
    names = needed_streams(held, transformer.config.post_norms, dictionary)
    found = Held.of(held, _streams(transformer, jnp.asarray(tokens), jnp.asarray(lengths), names), dictionary)
    return dataclasses.replace(found, length=jnp.int32(lengths[0]))


def held_of_prompt(
    transformer: Transformer, prompt: Sequence[int], held: HeldLayers, dictionary: InMemory | None = None
) -> Held | None:
    """`held_of` one prompt, in its bucket."""
    width = bucket_width(len(prompt), transformer.config.max_position)
    padded = np.pad(np.asarray(prompt, np.int32), (0, width - len(prompt)))
    return held_of(transformer, padded[None], np.array([len(prompt)], np.int32), held, dictionary)
