"""Texts of the tokens of a corpus, one of each kind of token, and those of characters that are cut in two.

A token's text is what it adds after another token. Where a character is made by several tokens, each of which alone is
half of one, the first of them has the whole text and the others none.

Shapes: R rows of T tokens. Cost: one decoding a kind of token, and one a run of halves.
"""

import dataclasses

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from causeway.engine.model.handle import Model
from causeway.engine.train.corpus import Corpus

# What a tokenizer writes for half a character.
_HALF = "\ufffd"


@dataclasses.dataclass(frozen=True)
class TokenTexts:
    """texts: distinct ones. code: [R, T] which of them each token has."""

    texts: tuple[str, ...]
    code: Int[np.ndarray, "R T"]

    def column(self, code: Int[np.ndarray, " n"]) -> pa.DictionaryArray:
        """Texts as a column, each written once."""
        return pa.DictionaryArray.from_arrays(pa.array(code, pa.int32()), pa.array(self.texts, pa.string()))


def token_texts(model: Model, corpus: Corpus) -> TokenTexts:
    """The texts of a corpus' tokens."""
    ids = np.unique(corpus.tokens)
    code = np.searchsorted(ids, corpus.tokens).astype(np.int32)
    texts = [model.text_after([i], [i]) for i in ids.tolist()]
    half = np.array([_HALF in text for text in texts])[code]
    half &= np.arange(corpus.tokens.shape[1]) < corpus.lengths[:, None]
    joined: dict[str, int] = {}
    for row in np.flatnonzero(half.any(axis=1)).tolist():
        for start, stop in _runs(half[row]):
            whole = model.text_of(corpus.tokens[row, start:stop].tolist())
            if _HALF not in whole:
                code[row, start] = joined.setdefault(whole, len(texts) + len(joined))
                code[row, start + 1 : stop] = joined.setdefault("", len(texts) + len(joined))
    return TokenTexts((*texts, *joined), code)


def _runs(marked: Bool[np.ndarray, " T"]) -> list[tuple[int, int]]:
    """First and last + 1 of runs of marked places."""
    edges = np.flatnonzero(np.diff(np.r_[False, marked, False].astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
