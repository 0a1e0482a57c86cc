"""Next-token losses of a model: its own, and those with one layer's stream replaced.

    clean      as it is
    spliced    the stream is what the layer's dictionary makes of it
    mean       the stream is its mean over the text
    zero       the stream is zero

All replacements act at the tokens that count, and so does the loss, in nats.

Cost: a pass over the rows, and three more for every layer, as wide as the longest row and, of few rows, of no more than
the next power of two. Memory: the logits of one row, [T, V].
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import FOREVER, Edit, EditSpec, no_edit
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.buckets import row_width
from causeway.engine.model.finite import refuse
from causeway.engine.model.forward import causal_pass, run
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision
from causeway.engine.reading.passes import ROWS
from causeway.engine.train.corpus import Corpus


def clean_loss(transformer: Transformer, corpus: Corpus) -> float:
    """The model's own mean next-token loss in nats, at the tokens that count."""
    parts = [(_summed_loss(transformer, *group, corpus.first), group[1]) for group in _padded(corpus)]
    return sum(loss for loss, _ in parts) / sum(_predicted(lengths, corpus.first) for _, lengths in parts)


def rows_of(corpus: Corpus) -> int:
    """Rows of a pass: few rows of text need no more."""
    return row_width(len(corpus.tokens), ROWS)


def groups_of(corpus: Corpus) -> int:
    """Number of groups of rows."""
    return -(-len(corpus.tokens) // rows_of(corpus))


def splice_losses(
    transformer: Transformer,
    dictionary: Any,
    corpus: Corpus,
    means: Float[np.ndarray, "P O"],
    tick: Callable[[], None],
) -> list[dict[str, Any]]:
    """The mean losses of each layer, by the names of their fields."""
    layers, stream = dictionary.config.layers, dictionary.config.output_stream
    totals, count = np.zeros((len(layers), 4)), 0
    for tokens, lengths in _padded(corpus):

        def loss(instruments: Instruments, tokens=tokens, lengths=lengths) -> float:
            found = _summed_loss(transformer, tokens, lengths, corpus.first, instruments)
            tick()
            return found

        clean = loss(Instruments())
        for i, layer in enumerate(layers):
            splice = _everywhere(layer, len(tokens), corpus.first, EditSpec(stream, "replace"))
            spliced = Instruments((bind(splice, dictionary.stack_of(layer)),))
            swap, vectors = EditSpec(stream, "swap"), (means[i], np.zeros_like(means[i]))
            mean, zero = (Instruments((bind(_everywhere(layer, len(tokens), corpus.first, swap, v)),)) for v in vectors)
            totals[i] += clean, *(loss(edited) for edited in (spliced, mean, zero))
        count += _predicted(lengths, corpus.first)
    names = ("loss_clean", "loss_spliced", "loss_mean", "loss_zero")
    return [dict(zip(names, row, strict=True)) for row in (totals / count).tolist()]


def _padded(corpus: Corpus) -> Iterator[tuple[Int[np.ndarray, "B T"], Int[np.ndarray, " B"]]]:
    """Tokens and lengths in groups of one shape; rows that fill a group up have length 0: nothing in them counts."""
    corpus = corpus.trimmed(corpus.tokens.shape[1])
    count, size = len(corpus.tokens), rows_of(corpus)
    for start in range(0, count, size):
        padded = np.minimum(np.arange(start, start + size), count - 1)
        yield corpus.tokens[padded], np.where(np.arange(start, start + size) < count, corpus.lengths[padded], 0)


def _predicted(lengths: Int[np.ndarray, " B"], first: int) -> int:
    """Number of tokens whose loss counts."""
    return int(np.maximum(lengths - 1 - first, 0).sum())


def _everywhere(layer: int, rows: int, first: int, spec: EditSpec, mean: Float[np.ndarray, " D"] | None = None) -> Edit:
    """One slot a row that acts at every token that counts: at its own value, or (swap) replaced by the mean."""
    ones = np.ones((rows, 1), np.int32)
    edit = no_edit(rows, spec=spec)
    edit = dataclasses.replace(edit, layer=ones * layer, start=ones * first, stop=ones * FOREVER)
    if mean is None:
        return edit
    vectors = np.broadcast_to(mean.astype(np.float32), (rows, 1, len(mean)))
    return dataclasses.replace(edit, scale=np.float32(0) * ones, shift=np.float32(1) * ones, vectors=vectors)


def _summed_loss(
    transformer: Transformer, tokens: Int[np.ndarray, "B T"], lengths: Int[np.ndarray, " B"], first: int,
    instruments: Instruments = Instruments(),  # noqa: B008 (immutable)
) -> float:  # fmt: skip
    """`_loss` on the host.

    Raises:
        NotFiniteError: it is not a number.
    """
    loss = float(_loss(transformer, tokens, lengths, first, instruments))
    if not math.isfinite(loss):
        refuse(partial(full_precision(causal_pass), transformer, jnp.asarray(tokens), instruments, lengths))
    return loss


@jax.jit
def _loss(
    transformer: Transformer, tokens: Int[Array, "B T"], lengths: Int[Array, " B"], first: int, instruments: Instruments
) -> Float[Array, ""]:
    """Sum of -log p(token t + 1) over first <= t < length - 1, formed one row after another: the logits of all rows are
    the largest array by far."""
    normalised = bind_tap(TapSpec("final_norm", "raw", (transformer.config.num_layers,)), None)
    instruments = dataclasses.replace(instruments, taps=(normalised,))
    found = run(transformer, tokens, instruments, lengths, logits_of=None).records[0].values[0]
    positions = jnp.arange(tokens.shape[1] - 1)

    def of_row(row: tuple[Array, Array, Array]) -> Float[Array, ""]:
        stream, ids, length = row
        logits = transformer.logits(stream[:-1]).astype(jnp.float32)
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, ids[1:])
        return jnp.sum(jnp.where((positions >= first) & (positions < length - 1), nll, 0))

    return jax.lax.map(of_row, (found, tokens, lengths)).sum()
