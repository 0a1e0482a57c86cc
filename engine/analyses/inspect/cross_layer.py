"""How well a cross-layer transcoder stands for what it replaces, on text.

Figures are those of `train.quality`, of each layer's output against the reconstruction that features of this layer and
of those below make of it. There are none of cross-entropy: what a layer writes depends on inputs of others, so putting
one reconstruction in place is not an edit of one layer.

Cost: an encode of all layers and a decode into all, `TOKENS_AT_ONCE` tokens at a time; that many values of all features
of all layers are held.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.model.transformer import Transformer
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Source
from causeway.engine.train.quality import LayerQuality, layer_figures

TOKENS_AT_ONCE = 64


def measure_cross_layer(
    transformer: Transformer,
    transcoder: CrossLayerTranscoder,
    corpus: Corpus,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[LayerQuality]:
    """The figures of every layer.

    Args:
        transformer: the model, of as many layers.
        transcoder: all its layers.
        corpus: held-out rows; their activations at all layers are held at once.
        progress: called with (tokens done, in all) after each group of them.

    Raises:
        ValueError: the corpus has no counted token, or widths or layers are not the model's.
    """
    config, rows = transcoder.config, np.arange(len(corpus.tokens))
    source, target = (Source(transformer, corpus, s, config.layers) for s in (config.stream, config.output_stream))
    if (source.width, target.width) != (transcoder.d_in, transcoder.d_out):
        raise ValueError(
            f"transcoder: reads width {transcoder.d_in} and writes {transcoder.d_out}, but {source.stream} and "
            f"{target.stream} of the model have {source.width} and {target.width}; use one of this model"
        )
    tokens = int(corpus.counts.sum())
    if not tokens:
        raise ValueError("corpus: holds no token that counts; give held-out text")
    x, y = source.read(rows), target.read(rows)
    means = y.mean(axis=1, dtype=np.float64).astype(np.float32)
    parts = []
    for start in range(0, tokens, TOKENS_AT_ONCE):
        parts.append(_part(transcoder, x, y, means, start))
        progress(min(start + TOKENS_AT_ONCE, tokens), tokens)
    return layer_figures(config.layers, transcoder.num_features, tokens, parts)


def _part(transcoder: CrossLayerTranscoder, x: np.ndarray, y: np.ndarray, means: np.ndarray, start: int):
    """`_sums` of some tokens, padded to one shape, in float64."""
    count = min(TOKENS_AT_ONCE, x.shape[1] - start)
    pad = ((0, 0), (0, TOKENS_AT_ONCE - count), (0, 0))
    chunk = (np.pad(values[:, start : start + count], pad) for values in (x, y))
    sums, largest = _sums(transcoder, *chunk, np.arange(TOKENS_AT_ONCE) < count, means)
    return jax.tree.map(lambda a: np.asarray(a, np.float64), sums), np.asarray(largest)


@jax.jit
def _sums(
    transcoder: CrossLayerTranscoder, x: Float[Array, "L N D"], y: Float[Array, "L N O"], there: Bool[Array, " N"],
    means: Float[Array, "L O"],
):  # fmt: skip
    """Sums over tokens of |y - y'|^2, |y - mean|^2, |y - y'| / |y|, |f| [L] and firings [L, F]; the largest |f| [L]."""
    f = jnp.where(there[:, None], transcoder.encode_all(x), 0)
    error = jnp.where(there, jnp.sum((y - transcoder.decode(f, x)) ** 2, axis=-1), 0)
    spread = jnp.where(there, jnp.sum((y - means[:, None]) ** 2, axis=-1), 0)
    relative = jnp.sqrt(error / jnp.maximum(jnp.sum(y**2, axis=-1), 1e-30))
    size = jnp.abs(f)
    sums = (error.sum(-1), spread.sum(-1), relative.sum(-1), size.sum((1, 2)), jnp.sum(f != 0, axis=1))
    return sums, size.max((1, 2))
