"""What a feature writes, read by the unembedding: which next tokens it promotes and which it suppresses by itself.

    w_f = (gain * centre(d_f)) W_U        less its mean over the vocabulary, which no probability depends on

d_f is what a unit of the feature adds to the stream: its decoder row, of a cross-layer transcoder the sum of its rows
for all layers. The final norm's denominator is left out, so weights are compared within a feature, not between
features. Weights alone: what attention and later layers make of the feature is not in it.

Shapes: F features, D stream, V vocabulary, k kept. Cost: 2 F D V operations. Memory: a block of features times V.
"""

import copy
import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.placement import Holder
from causeway.engine.gathered import to_host
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision
from causeway.kernels.top_k import top_k

# Streams whose values are added to the residual stream, or are it.
ADDED = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
_BLOCK_BYTES = 1 << 28


class LogitWeights(NamedTuple):
    """promoted, suppressed: [F, k] token ids, the strongest first; up, down: [F, k] their weights."""

    promoted: Int[np.ndarray, "F k"]
    up: Float[np.ndarray, "F k"]
    suppressed: Int[np.ndarray, "F k"]
    down: Float[np.ndarray, "F k"]


def logit_weights(
    transformer: Transformer, dictionary: Holder, layer: int, features: Int[np.ndarray, " F"], k: int
) -> LogitWeights | None:
    """The strongest weights of some features of a layer; None where what they write is not added to the stream.

    Args:
        transformer: the model. dictionary: its own. layer: model layer. features: numbers. k: tokens of each sign.
    """
    if dictionary.config.output_stream not in ADDED:
        return None
    vocabulary = transformer.config.vocab_size
    k = min(k, vocabulary)
    # Caps of logits keep their order, but are of whole logits and not of what one feature adds.
    linear = copy.copy(transformer)
    linear.config = dataclasses.replace(transformer.config, logit_softcap=0.0)
    size = max(1, min(len(features), _BLOCK_BYTES // (4 * vocabulary)))
    rows, blocks = jnp.asarray(dictionary.arrays_at(layer)["W_dec"]), []
    for start in range(0, len(features), size):
        own = features[start : start + size]
        padded = np.r_[own, np.repeat(own[:1], size - len(own))]
        found = _strongest(linear, _written(rows[padded]), k)
        blocks.append([array[: len(own)] for array in to_host(found)])
    return LogitWeights(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


def _written(rows: Float[Array, "f *layers D"]) -> Float[Array, "f D"]:
    """What a unit of each feature adds to the stream: of one that writes to several layers, in all of them."""
    return rows if rows.ndim == 2 else rows.astype(jnp.float32).sum(axis=1)


@partial(jax.jit, static_argnames="k")
@full_precision
def _strongest(transformer: Transformer, rows: Float[Array, "f D"], k: int) -> tuple[Array, ...]:
    norm, numerics = transformer.final_norm, transformer.numerics
    wide = rows.astype(numerics.accumulate_dtype)
    weights = transformer.logits((norm.centre(wide) * norm.multiplier()).astype(numerics.compute_dtype))
    weights = (weights - weights.mean(axis=-1, keepdims=True)).astype(jnp.float32)
    up, promoted = top_k(weights, k)
    down, suppressed = top_k(-weights, k)
    return promoted, up, suppressed, -down
