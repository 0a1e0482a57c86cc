"""Lexicons: texts, each with a vector of the stream `final_norm`, over which directions are written.

Two kinds of vectors. Columns of the unembedding, centred over the vocabulary,

    u_t - mean_v u_v,

so that an inner product is a token's logit less the mean logit of all tokens; and states of definition prompts
(`definitions`). The gain of the last norm is counted once: effects are vectors of the stream after that norm, so it is
in them, and a column has none of it. A text of several tokens has the mean of their columns, or the first's.

What has no vector of its own is left out, by its reason: special tokens, tokens that are no text (parts of characters),
columns beyond the tokenizer's vocabulary, words that the tokenizer does not know, and texts whose vector an earlier one
has.

Shapes: A texts, D model, V vocabulary. Cost: a pass over the unembedding. Memory: [V, D] in float32.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from causeway.engine.gathered import to_host
from causeway.engine.model.handle import Model
from causeway.engine.model.text import Tokenizer

# Of a text of several tokens: the mean of its tokens' columns, the first one's, or the state after its definition.
WordVectors = Literal["mean", "first", "definitions"]
WORD_VECTORS: tuple[WordVectors, ...] = ("mean", "first", "definitions")
# A norm below this part of the usual one is rounding, and a direction of it would be noise.
NOTHING = 1e-5
HALF = "�"


@dataclasses.dataclass(frozen=True, eq=False)
class Lexicon:
    """Texts with their vectors.

    Attributes:
        texts: of each atom.
        vectors: [A, D] centred, of any length.
        kind: what the vectors are: tokens, mean, first, or definitions.
        fingerprint: of the model's weights.
        left_out: texts without a vector of their own, by the reason.

    Raises:
        ValueError: fewer than two texts, or vectors that are not finite or 0.
    """

    texts: tuple[str, ...]
    vectors: Float[np.ndarray, "A D"]
    kind: str
    fingerprint: str
    left_out: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if len(self.texts) < 2:
            reasons = "; ".join(f"{reason}: {len(texts)} ({_some(texts)})" for reason, texts in self.left_out.items())
            raise ValueError(
                f"lexicon: {len(self.texts)} texts can be used, needs two or more; left out: {reasons or 'none'}"
            )
        if not np.isfinite(self.vectors).all() or not self.vectors.any(axis=1).all():
            raise ValueError("lexicon: a vector is 0 or not finite; needs a direction for each text")

    @property
    def atoms(self) -> Float[np.ndarray, "A D"]:
        """The vectors at norm 1."""
        return self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)

    def told(self) -> list[str]:
        """A line for each reason for which texts were left out."""
        return [f"{len(texts)} {reason}: {_some(texts)}" for reason, texts in self.left_out.items()]


def _some(texts: Sequence[str], shown: int = 6) -> str:
    return ", ".join(map(repr, texts[:shown])) + (", ..." if len(texts) > shown else "")


def known_to(model: Model) -> Tokenizer:
    """The model's tokenizer.

    Raises:
        ValueError: it has none.
    """
    if model.tokenizer is None:
        raise ValueError(f"lexicon: {model.name} has no tokenizer, so its tokens have no texts; give one that has")
    return model.tokenizer


def centred_columns(model: Model) -> Float[np.ndarray, "V D"]:
    """Columns of the unembedding less their mean, in float32."""
    transformer = model.transformer
    tied = transformer.config.tied_embeddings
    columns = to_host(transformer.embedding[...] if tied else transformer.unembedding[...].T).astype(np.float32)
    return columns - columns.mean(axis=0, dtype=np.float64).astype(np.float32)


def token_lexicon(model: Model) -> Lexicon:
    """Every token that is a text.

    Raises:
        ValueError: a model without a tokenizer.
    """
    tokenizer, columns = known_to(model), centred_columns(model)
    texts = [tokenizer.decode([i]) for i in range(min(tokenizer.vocab_size, len(columns)))]
    sizes = np.linalg.norm(columns, axis=1)
    least = NOTHING * float(np.median(sizes))
    left_out, kept = defaultdict[str, list[str]](list), []
    for i, text in enumerate(texts):
        if i in tokenizer.special_ids:
            left_out["special tokens"].append(text)
        elif not text or HALF in text:
            left_out["tokens that are no text"].append(f"id {i}")
        elif sizes[i] <= least:
            left_out["tokens without a direction"].append(text)
        else:
            kept.append(i)
    for i in range(len(texts), len(columns)):
        left_out["columns beyond the tokenizer's vocabulary"].append(f"id {i}")
    return Lexicon(tuple(texts[i] for i in kept), columns[kept], "tokens", model.fingerprint, dict(left_out))


def word_lexicon(model: Model, words: Sequence[str], *, first: bool = False) -> Lexicon:
    """Words and phrases, each by its tokens' columns.

    Args:
        model: a loaded model with a tokenizer. words: texts, without the space before them.
        first: take the first token's column instead of the mean of all.

    Raises:
        ValueError: fewer than two words that can be used.
    """
    tokenizer, columns = known_to(model), centred_columns(model)
    usual = float(np.median(np.linalg.norm(columns, axis=1)))
    left_out, found, vectors = defaultdict(list), {}, []
    for word in words:
        ids = word_ids(tokenizer, word)[: 1 if first else None]
        vector = columns[ids].mean(axis=0) if ids else columns[0]
        if not ids:
            left_out[UNKNOWN].append(word)
        elif tuple(ids) in found:
            left_out[REPEATED].append(word)
        elif np.linalg.norm(vector) <= NOTHING * usual:
            left_out["words without a direction"].append(word)
        else:
            found[tuple(ids)] = word
            vectors.append(vector)
    kind = "first" if first else "mean"
    rows = np.array(vectors, np.float32).reshape(-1, columns.shape[1])
    return Lexicon(tuple(found.values()), rows, kind, model.fingerprint, dict(left_out))


UNKNOWN = "words that the tokenizer does not know"
REPEATED = "words whose vector an earlier one has"


def word_ids(tokenizer: Tokenizer, word: str) -> list[int]:
    """The tokens of a word inside a text: with the space before it or without, whichever takes fewer (with, of equals).

    Vocabularies differ in where they keep the space of a word. None where the tokenizer does not know the word.
    """
    forms = []
    for text in (f" {word}", word):
        try:
            ids = tokenizer.encode(text)
        except ValueError:
            continue
        forms += [ids] if ids else []
    return min(forms, key=len, default=[])


def checked_words(words: Iterable[str]) -> list[str]:
    """Words as texts without the spaces around them, each once.

    Raises:
        ValueError: one text in place of a list, or what is no text.
    """
    listed = [] if isinstance(words, str | bytes | Mapping) or not isinstance(words, Iterable) else list(words)
    if not listed or not all(isinstance(word, str) and word.strip() for word in listed):
        raise ValueError("words: needs 'tokens', or a list of words and phrases, none of them empty")
    return list(dict.fromkeys(word.strip() for word in listed))
