"""How often each response has each word: one sparse matrix [documents, V], with what repeats the prompt left out.

A document is a distinct text under a distinct prompt. A run of `echo` words or more (tokens: twice as many, for a word
has its punctuation beside it) that stands in the prompt in the same order is an echo and does not count, nor does it
count in the document's length: a model that goes on by writing the prompt again says nothing of its own by it.

Runs are told by a polynomial hash of 64 bits over their codes; two different runs have one hash with a probability of
about 1e-19 a pair.

Shapes: D documents, V words, S words of all documents. Cost: a few passes over S, in blocks of documents.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy import sparse

from causeway.engine.analyses.tokens.spelling import Spelled

_BLOCK = 65536
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class Documents:
    """Distinct (text, prompt).

    Attributes:
        text: [D] index of the text. prompt: [D] index of the prompt's text, -1 where it is not known; those of a prompt
            stand together.
    """

    text: Int[np.ndarray, " D"]
    prompt: Int[np.ndarray, " D"]


@dataclasses.dataclass(frozen=True)
class Counted:
    """Words of documents.

    Attributes:
        counts: [D, V]. lengths: [D] words. echoed: [D] words left out.
        unit: "token", "word" or "word_group". vocabulary: [V]. ids: [V] token ids, or None.
    """

    counts: sparse.csr_matrix
    lengths: Int[np.ndarray, " D"]
    echoed: Int[np.ndarray, " D"]
    unit: str
    vocabulary: tuple[str, ...]
    ids: Int[np.ndarray, " V"] | None


def counted(
    spelled: Spelled, documents: Documents, unit: str, prompts: Sequence[Int[np.ndarray, " n"]], echo: int
) -> Counted:
    """Counts of all documents.

    Args:
        spelled: of the distinct texts.
        prompts: codes of each prompt's text (-1: none that a text has). echo: the least run left out; 0 for none.
    """
    width, parts, lengths = (
        len(spelled.vocabulary),
        [sparse.csr_matrix((0, len(spelled.vocabulary)), dtype=np.int32)],
        [],
    )
    for start in range(0, len(documents.text), _BLOCK):
        chosen, prompt = documents.text[start : start + _BLOCK], documents.prompt[start : start + _BLOCK]
        codes, ends = _runs(spelled, chosen)
        if echo and len(prompts):
            kept = ~echoes(codes, ends, prompt, prompts, echo)
            ends = np.concatenate([[0], np.cumsum(kept)])[ends]
            codes = codes[kept]
        lengths.append(np.diff(ends))
        part = sparse.csr_matrix((np.ones(len(codes), np.int32), codes, ends), (len(chosen), width))
        part.sum_duplicates()
        parts.append(part)
    sizes = np.concatenate([np.zeros(0, np.int64), *lengths])
    written = np.diff(spelled.ends)[documents.text]
    return Counted(
        sparse.vstack(parts, "csr"), sizes, written - sizes, unit, spelled.vocabulary, spelled.ids
    )  # fmt: skip


def _runs(spelled: Spelled, chosen: Int[np.ndarray, " d"]) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " d1"]]:
    """Codes of some texts, one after the other."""
    starts, sizes = spelled.ends[chosen], np.diff(spelled.ends)[chosen]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return spelled.codes[np.repeat(starts - ends[:-1], sizes) + np.arange(ends[-1])], ends


def echoes(
    codes: Int[np.ndarray, " s"], ends: Int[np.ndarray, " d1"], prompt: Int[np.ndarray, " d"],
    prompts: Sequence[Int[np.ndarray, " n"]], run: int,
) -> Bool[np.ndarray, " s"]:  # fmt: skip
    """Which words are of a run that their prompt has too.

    Args:
        codes, ends: of the documents. prompt: of each, an index into `prompts` or -1.
    """
    sizes = np.diff(ends)
    which = np.repeat(prompt.astype(np.int32), sizes)
    begins = np.zeros(len(codes), bool)
    for number in np.unique(prompt[prompt >= 0]):
        own = np.asarray(prompts[number])
        there = np.zeros(int(codes.max(initial=0)) + 1, bool)
        there[own[(own >= 0) & (own < len(there))]] = True
        inside = there[codes] & (which == number)
        place = np.flatnonzero(_runs_of(inside, run))
        place = place[place + run <= np.repeat(ends[1:], sizes)[place]]
        same = np.sort(_hashes(own + 1, np.arange(max(len(own) - run + 1, 0)), run))
        if not len(same) or not len(place):
            continue
        found = _hashes(codes + 1, place, run)
        begins[place] = same[np.minimum(np.searchsorted(same, found), len(same) - 1)] == found
    covered = begins.copy()
    for step in range(1, run):
        covered[step:] |= begins[:-step]
    return covered


def _runs_of(inside: Bool[np.ndarray, " s"], run: int) -> Bool[np.ndarray, " s"]:
    """Where `run` true values begin."""
    found = inside.copy()
    for step in range(1, min(run, len(inside) + 1)):
        found[:-step] &= inside[step:]
        found[len(found) - step :] = False
    return found


def _hashes(codes: Int[np.ndarray, " s"], place: Int[np.ndarray, " n"], run: int) -> np.ndarray:
    """The hash of the runs that begin at some places. Codes are 0 for what no text has."""
    found = np.zeros(len(place), np.uint64)
    for step in range(run):
        found = found * _BASE + codes[place + step].astype(np.uint64)
    return found


def in_groups(words: Counted, groups: tuple[str, ...], member: sparse.csr_matrix) -> Counted:
    """Words counted under their groups."""
    counts = (words.counts @ member).tocsr()
    counts.sort_indices()
    return dataclasses.replace(words, counts=counts, unit="word_group", vocabulary=groups)
