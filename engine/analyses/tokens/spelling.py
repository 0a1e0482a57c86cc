r"""Texts as words and as tokens: each distinct text once, as a run of codes.

    word         \$?\d+|\b[a-zA-Z]+\b on lowered text, as the source documents have it: "$10", "5", "bet"; what is
                 joined to digits, underscores or other letters is no word
    word_group   words under their shortest form: "bets", "betting" and "bet" are "bet" (`grouped`)
    token        ids of the model's own tokenizer, of the text by itself, special tokens left out

A group's form is found by taking off -s, -es, -ed, -d, -er, -ing, -ings, -'s doubled consonant or -y made -i, with or
without an -e put back, where what is left has three letters or more and is itself a word of these texts: "this" stays,
for no text has "thi"; "news" goes to "new" where both are written. Numbers and amounts are left alone.

Texts are cut before spaces into pieces (" bet", "stop.\n") and only distinct pieces are spelled: no word goes across a
space, nor does a token of vocabularies over bytes, whose rules cut there first (`Tokenizer.parts_at_spaces`; held to
whole texts on `_TRIED` of them, and where it does not hold each text is tokenized whole).

Shapes: D distinct texts, S words of all, V distinct words. Cost: 40 million words take about 15 s and 300 MB.
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from scipy import sparse

from causeway.engine.model.text import Tokenizer

WORD = re.compile(r"\$?\d+|\b[a-zA-Z]+\b")
# Texts at a time: pieces are Python objects only while they are counted.
_BLOCK = 8192
_TRIED = 64
_MARK = "\x01"
# Pieces at a time.
_STEP = 1 << 22
_SHORTEST = 3
_ENDINGS = ("ings", "ing", "ers", "er", "ed", "es", "s", "d")


@dataclasses.dataclass(frozen=True)
class Spelled:
    """Runs of codes.

    Attributes:
        codes: [S] of all texts, one after the other. ends: [D + 1]; text d has codes[ends[d] : ends[d + 1]].
        vocabulary: [V] what codes stand for. ids: [V] token ids; None of words.
    """

    codes: Int[np.ndarray, " S"]
    ends: Int[np.ndarray, " D1"]
    vocabulary: tuple[str, ...]
    ids: Int[np.ndarray, " V"] | None = None


def pieces(texts: Sequence[str]) -> Spelled:
    """Texts cut before each run of spaces."""
    known: dict[str, int] = {}
    codes, sizes = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
    for start in range(0, len(texts), _BLOCK):
        found = [_cut(text) for text in texts[start : start + _BLOCK]]
        sizes.append(np.fromiter(map(len, found), np.int64, len(found)))
        encoded = pa.array(itertools.chain.from_iterable(found), pa.string()).dictionary_encode()
        own = [known.setdefault(piece, len(known)) for piece in encoded.dictionary.to_pylist()]
        codes.append(np.asarray(own, np.int32)[encoded.indices.to_numpy()])
    return Spelled(np.concatenate(codes), np.cumsum(np.concatenate(sizes)), tuple(known))


def _cut(text: str) -> list[str]:
    marked = text.replace(_MARK, " ").replace(" ", f"{_MARK} ")
    while f" {_MARK} " in marked:
        marked = marked.replace(f" {_MARK} ", "  ")
    return marked.split(_MARK)


def words(cut: Spelled) -> Spelled:
    """Texts as words.

    Args:
        cut: their pieces.
    """
    known: dict[str, int] = {}
    found = [[known.setdefault(word, len(known)) for word in WORD.findall(piece.lower())] for piece in cut.vocabulary]
    return Spelled(*_spelled(cut, found), tuple(known))


def tokens(texts: Sequence[str], cut: Spelled, tokenizer: Tokenizer) -> Spelled:
    """Texts as tokens.

    Args:
        cut: their pieces.
    """
    if tokenizer.parts_at_spaces:
        found = tokenizer.encode_all(cut.vocabulary)
        tried = tokenizer.encode_all(texts[:_TRIED])
        if all(ids == [i for code in cut.codes[start:end] for i in found[code]]
               for ids, start, end in zip(tried, cut.ends, cut.ends[1:], strict=False)):  # fmt: skip
            return of_ids(*_spelled(cut, found), tokenizer)
    ids, sizes = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
    for start in range(0, len(texts), _BLOCK):
        found = tokenizer.encode_all(texts[start : start + _BLOCK])
        sizes.append(np.fromiter(map(len, found), np.int64, len(found)))
        ids.append(np.fromiter(itertools.chain.from_iterable(found), np.int32, int(sizes[-1].sum())))
    return of_ids(np.concatenate(ids), np.cumsum(np.concatenate(sizes)), tokenizer)


def _spelled(cut: Spelled, found: Sequence[Sequence[int]]) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " D1"]]:
    """Codes of texts, and where each text ends, from those of each piece."""
    sizes = np.fromiter(map(len, found), np.int64, len(found))
    flat = np.fromiter(itertools.chain.from_iterable(found), np.int32, int(sizes.sum()))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    parts, before = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
    for first in range(0, len(cut.codes), _STEP):
        own = cut.codes[first : first + _STEP]
        ends = np.cumsum(sizes[own])
        place = np.repeat(starts[own] - (ends - sizes[own]), sizes[own]) + np.arange(ends[-1])
        parts.append(flat[place])
        before.append(ends + before[-1][-1])
    return np.concatenate(parts), np.concatenate(before)[cut.ends]


def of_ids(ids: Int[np.ndarray, " S"], ends: Int[np.ndarray, " D1"], tokenizer: Tokenizer) -> Spelled:
    """Runs of token ids, without special tokens."""
    kept = ~np.isin(ids, sorted(tokenizer.special_ids - {tokenizer.unknown_id}))
    before = np.concatenate([[0], np.cumsum(kept)])
    ids = ids[kept]
    present = np.flatnonzero(np.bincount(ids, minlength=1))
    present = present if len(ids) else present[:0]
    place = np.zeros(int(present.max(initial=0)) + 1, np.int32)
    place[present] = np.arange(len(present))
    texts = tuple(tokenizer.decode([int(token)]) for token in present)
    return Spelled(place[ids], before[ends], texts, present.astype(np.int32))


def grouped(vocabulary: Sequence[str]) -> tuple[tuple[str, ...], sparse.csr_matrix]:
    """Groups of words by their shortest form, and which word is in which: [V, groups], one 1 a row."""
    known = set(vocabulary)
    forms = [_shortest(word, known) for word in vocabulary]
    groups = tuple(dict.fromkeys(forms))
    column = {form: place for place, form in enumerate(groups)}
    columns = np.fromiter((column[form] for form in forms), np.int32, len(forms))
    shape = len(forms), len(groups)
    return groups, sparse.csr_matrix((np.ones(len(forms), np.int32), columns, np.arange(len(forms) + 1)), shape)


def _shortest(word: str, known: set[str]) -> str:
    shorter = next((form for form in _stems(word) if len(form) >= _SHORTEST and form in known), None)
    return word if shorter is None else _shortest(shorter, known)


def _stems(word: str) -> list[str]:
    """What a word may be a form of, the likeliest first."""
    found = []
    for ending in _ENDINGS:
        if not word.isalpha() or not word.endswith(ending):
            continue
        stem = word[: -len(ending)]
        found += [stem, f"{stem}e"] if ending not in ("s", "d") else [stem]
        if len(stem) > 1 and stem[-1] == stem[-2] and ending not in ("s", "es", "d"):
            found.insert(len(found) - 2, stem[:-1])
        if stem.endswith("i") and ending in ("es", "ed", "er", "ers"):
            found.append(f"{stem[:-1]}y")
    return found
