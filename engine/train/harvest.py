"""Activations of a stream (or of two), all chosen layers in one pass, shuffled within a stated memory budget.

The rows of a corpus are visited in chunks. A chunk is as many rows as fit the budget; their counted tokens are kept
as [P, N, W], W numbers a token, and batches walk through them in a shuffled order. Rows are shuffled anew every epoch,
tokens every chunk, both keyed by (seed, epoch or chunk), so the data of a step is a function of the step alone: a
resumed run reads its chunk again and goes on in the middle of it. A corpus that fits the budget whole is read once.

Memory: one chunk, P x N x W x 4 bytes, twice while it is copied to a device that has its own memory.
Cost: one forward pass a row and epoch.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.sites import ONCE
from causeway.engine.model.buckets import row_width
from causeway.engine.model.transformer import Transformer
from causeway.engine.reading.passes import ROWS, ReadRow
from causeway.engine.reading.read import Part, read
from causeway.engine.reading.reductions import Raw, Reduction
from causeway.engine.train.corpus import Corpus

_ROWS, _TOKENS = 1, 2
UNREADABLE = ("attn_pattern", *ONCE)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where activations come from: a transformer, rows of tokens, a stream and the model layers read.

    With `write_stream`, the values of that stream follow those of `stream` in the same vector: what a transcoder reads
    and what it is to write. `head_out` is read with its heads side by side.
    """

    transformer: Transformer
    corpus: Corpus
    stream: str
    layers: tuple[int, ...]
    write_stream: str = ""

    def __post_init__(self):
        for stream in self.streams:
            if stream in UNREADABLE:
                raise ValueError(
                    f"stream: {stream!r} is not one vector a token and layer; "
                    "train on a residual, norm, attention or MLP stream"
                )
        outside = [layer for layer in self.layers if not 0 <= layer < self.transformer.config.num_layers]
        if outside or not self.layers or len(set(self.layers)) != len(self.layers):
            last = self.transformer.config.num_layers - 1
            raise ValueError(f"layers: got {list(self.layers)}; needs different layers of the model, 0..{last}")

    @property
    def streams(self) -> tuple[str, ...]:
        """The stream, and the one written if there is one."""
        return (self.stream, self.write_stream) if self.write_stream else (self.stream,)

    @property
    def d_in(self) -> int:
        """D of the stream read."""
        return self._width(self.stream)

    @property
    def width(self) -> int:
        """Numbers a token and layer: D, and O of the stream that is written."""
        return sum(self._width(stream) for stream in self.streams)

    def _width(self, stream: str) -> int:
        return self.transformer.config.width(stream)

    def read(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "P N W"]:
        """Activations at the counted tokens of these rows, float32, in the order of the rows.

        Raises:
            NotFiniteError: a row's pass does not give numbers.
        """
        parts = read_corpus(self.transformer, self.corpus, rows, self.streams, None, Raw(), layers=self.layers)
        values = [np.moveaxis(part.values["values"], 1, 0)[:, part.there] for part in parts]
        return np.concatenate(values, axis=1).astype(np.float32, copy=False)


def read_corpus(
    transformer: Transformer,
    corpus: Corpus,
    rows: Int[np.ndarray, " rows"],
    streams: Sequence[str],
    dictionary: Holder | None,
    reduce: Reduction,
    **options: Any,
) -> Iterator[Part]:
    """`reading.read` of the counted tokens of some rows of a corpus, all in passes of one width and number of rows.

    Args:
        options: see `read`.

    Raises:
        NotFiniteError: naming a row of the text.
    """
    listed = [
        ReadRow(corpus.tokens[row, : corpus.lengths[row]], range(corpus.first, max(corpus.first, corpus.lengths[row])))
        for row in rows
    ]
    return read(
        transformer, listed, streams, dictionary, reduce, width=corpus.tokens.shape[1],
        batch_rows=row_width(len(rows), ROWS), name=lambda row: f"row {rows[row] + 1} of the text", **options,
    )  # fmt: skip


class Shuffled:
    """Batches of a source by step.

    Attributes:
        capacity: N, tokens a chunk's array holds. d_in: D, numbers of a token that are read. width: W, all numbers of
            a token, those to be written included. batches_per_chunk: steps served by a chunk.
    """

    def __init__(self, source: Source, batch: int, seed: int, budget_mib: int):
        """Plan the chunks; nothing is read yet.

        Raises:
            ValueError: the budget does not hold one row, or a batch is larger than a chunk.
        """
        counts = source.corpus.counts
        token_bytes = len(source.layers) * source.width * 4
        # However rows are shuffled into a chunk, it holds no more than as many of the longest ones.
        largest = np.cumsum(np.sort(counts)[::-1])
        self._rows_per_chunk = int(np.searchsorted(largest, (budget_mib << 20) // token_bytes, side="right"))
        if self._rows_per_chunk == 0:
            raise ValueError(
                f"buffer: {budget_mib} MiB do not hold a row of {counts.max() * token_bytes} bytes; give more"
            )
        self.capacity = int(largest[self._rows_per_chunk - 1])
        kept = int(self._rows_per_chunk * counts.mean())
        self.batches_per_chunk = kept // batch
        if self.batches_per_chunk == 0:
            raise ValueError(
                f"batch: {batch} tokens, but {self._rows_per_chunk} rows of text hold about {kept}; "
                "give more text, a larger buffer or a smaller batch"
            )
        self._chunks_per_epoch = len(counts) // self._rows_per_chunk
        self.d_in, self.width = source.d_in, source.width
        self._source, self._batch, self._seed = source, batch, seed
        self._held: tuple[tuple[int, int], Array, int] | None = None
        self._order: tuple[int, np.ndarray] | None = None

    def buffer(self, chunk: int) -> tuple[Float[Array, "P N W"], int]:
        """A chunk's activations, padded to the capacity, and how many tokens it has."""
        epoch, place = divmod(chunk, self._chunks_per_epoch)
        # With one chunk an epoch the rows are always the same ones: their order is of no consequence.
        key = (epoch, place) if self._chunks_per_epoch > 1 else (0, 0)
        if self._held is None or self._held[0] != key:
            self._held = None
            values = self._source.read(self._rows(*key))
            padded = np.pad(values, ((0, 0), (0, self.capacity - values.shape[1]), (0, 0)))
            self._held = (key, jnp.asarray(padded), values.shape[1])
        return self._held[1], self._held[2]

    def __call__(self, step: int) -> tuple[Float[Array, "P N W"], Int[np.ndarray, " batch"]]:
        """The buffer a step reads and the places of its batch in it."""
        chunk, place = divmod(step, self.batches_per_chunk)
        buffer, count = self.buffer(chunk)
        if self._order is None or self._order[0] != chunk:
            order = np.random.default_rng([self._seed, _TOKENS, chunk]).permutation(count).astype(np.int32)
            # A chunk of short rows may have fewer tokens than the average: it begins again.
            self._order = (chunk, np.resize(order, (self.batches_per_chunk, self._batch)))
        return buffer, self._order[1][place]

    def _rows(self, epoch: int, place: int) -> Int[np.ndarray, " rows"]:
        rows = np.arange(len(self._source.corpus.tokens))
        if self._chunks_per_epoch > 1:
            rows = np.random.default_rng([self._seed, _ROWS, epoch]).permutation(rows)
        return rows[place * self._rows_per_chunk :][: self._rows_per_chunk]
