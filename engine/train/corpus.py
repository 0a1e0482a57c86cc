"""Texts as rows of token ids, for reading activations from.

A row is a window of at most T tokens, right-padded, with the begin-of-sequence id in front where the model wants it:

    documents   every window lies inside one text; the last window of a text is short
    packed      the texts follow one another (an end-of-sequence id between them, where there is one) and are cut
                every T tokens, so all rows but the last are full

`first` is the first position that counts. Whatever token stands at position 0, BOS or a word, its activations are
unlike any other's (often a hundred times larger) and would rule every mean. Positions first <= t < length are the data.

Texts are divided into training and held-out ones whole, before any is cut.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.handle import Model
from causeway.engine.model.text import with_eos, without_bos
from causeway.engine.scalars import real

Layout = Literal["documents", "packed"]
LAYOUTS: tuple[Layout, ...] = ("documents", "packed")
_SPLIT = 0x5E1D


@dataclasses.dataclass(frozen=True)
class Corpus:
    """tokens [R, T]; lengths [R], padding excluded; first: the first position of a row that counts; texts [R]: which
    text each row is of, None where rows go across texts."""

    tokens: Int[np.ndarray, "R T"]
    lengths: Int[np.ndarray, " R"]
    first: int
    texts: Int[np.ndarray, " R"] | None = None

    @property
    def counts(self) -> Int[np.ndarray, " R"]:
        """Number of tokens of each row that count."""
        return np.maximum(self.lengths - self.first, 0)

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that matters."""
        digest = hashlib.sha256(f"{self.tokens.shape} {self.first}".encode())
        digest.update(np.ascontiguousarray(self.tokens).tobytes())
        digest.update(np.ascontiguousarray(self.lengths).tobytes())
        return digest.hexdigest()

    def trimmed(self, context: int) -> "Corpus":
        """Without columns that no row reaches: as wide as a pass of its longest row has to be."""
        width = min(bucket_width(int(self.lengths.max()), context), self.tokens.shape[1])
        return dataclasses.replace(self, tokens=self.tokens[:, :width])

    def head(self, rows: int) -> "Corpus":
        """The first rows."""
        texts = None if self.texts is None else self.texts[:rows]
        return dataclasses.replace(self, tokens=self.tokens[:rows], lengths=self.lengths[:rows], texts=texts)


def make_corpus(
    model: Model, texts: Sequence[str], length: int, layout: Layout = "documents", include_first: bool = False
) -> Corpus:
    """Tokenise texts into rows.

    Args:
        model: gives the tokenizer and the BOS policy.
        texts: documents.
        length: T, the width of a row, BOS included.
        layout: `documents` or `packed`.
        include_first: whether activations at position 0 count as data.

    Raises:
        ValueError: no tokenizer, an unknown layout, a length outside the context, or texts without tokens.
    """
    if model.tokenizer is None:
        raise ValueError(f"model: {model.name} has no tokenizer; activations are read over text, so it needs one")
    if layout not in LAYOUTS:
        raise ValueError(f"layout: got {layout!r}; needs one of {', '.join(LAYOUTS)}")
    bos = [model.tokenizer.bos_id] if model.prepend_bos and model.tokenizer.bos_id is not None else []
    if not len(bos) + 1 < length <= model.config.max_position:
        raise ValueError(
            f"length: got {length}; rows of {model.name} hold {len(bos) + 2} to {model.config.max_position} tokens"
        )
    documents = [model.tokenizer.encode(text, unknown=True) for text in texts]
    if bos:  # which the rows put there, so a text that brings its own does not get two
        documents = [without_bos(model.tokenizer, ids) for ids in documents]
    if layout == "packed":
        documents = [[i for ids in documents for i in with_eos(model.tokenizer, ids)]]
    width, first = length - len(bos), 0 if include_first else 1
    cut = [(text, bos + ids[i : i + width]) for text, ids in enumerate(documents) for i in range(0, len(ids), width)]
    cut = [(text, window) for text, window in cut if len(window) > first]
    windows = [window for _, window in cut]
    if not windows:
        raise ValueError(f"texts: {len(texts)} texts hold no tokens that count; give text to train on")
    tokens = np.zeros((len(windows), length), np.int32)
    for row, window in zip(tokens, windows, strict=True):
        row[: len(window)] = window
    lengths = np.array([len(window) for window in windows], np.int32)
    return Corpus(tokens, lengths, first, None if layout == "packed" else np.array([text for text, _ in cut], np.int32))


def split_texts(texts: Sequence[str], held_out: float = 0.1) -> tuple[list[str], list[str]]:
    """Training and held-out texts, the same division whatever the run's seed.

    Raises:
        ValueError: a share outside (0, 1), or too few texts to have both.
    """
    count = round(real(held_out, "held_out", 0, 1) * len(texts))
    if not 0 < count < len(texts):
        raise ValueError(
            f"held_out: a share of {held_out} of {len(texts)} texts leaves one side empty; give more texts"
        )
    order = np.random.default_rng(_SPLIT).permutation(len(texts))
    chosen = set(order[:count].tolist())
    return [t for i, t in enumerate(texts) if i not in chosen], [t for i, t in enumerate(texts) if i in chosen]


def texts_sha256(texts: Sequence[str]) -> str:
    """What a run over texts is bound to."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
