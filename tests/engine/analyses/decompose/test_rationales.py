import pytest

from causeway.engine.analyses.decompose.rationales import STOP_WORDS, words_of_texts

TEXTS = [
    "She has 3 apples, and each apple costs 2 dollars. Each one is half-price!",
    "If he sells each of the apples, then he earns 6 dollars.",
    "Each apple is not more than a dollar\u2019s worth; it\u2019s cheap.",
]


def test_words_come_by_the_number_of_texts_that_have_them():
    found = words_of_texts(TEXTS, min_count=2)
    assert found == ["each", "apple", "apples", "dollars"]


def test_function_words_and_single_letters_are_left_out_and_words_of_logic_are_not():
    found = words_of_texts(TEXTS, min_count=1)
    assert not set(found) & {"she", "has", "the", "is", "it's", "of", "then", "a"}
    assert {"if", "not", "more", "than", "each", "and", "half-price", "dollar's"} <= set(found)
    assert not STOP_WORDS & {
        "if",
        "not",
        "no",
        "all",
        "and",
        "or",
        "each",
        "every",
        "more",
        "less",
        "than",
        "per",
        "both",
    }


def test_a_text_that_repeats_a_word_counts_once():
    assert words_of_texts(["cat cat cat", "dog", "dog"], min_count=1) == ["dog", "cat"]


def test_what_leaves_no_word_is_refused():
    with pytest.raises(ValueError, match="min_count: no word is in 4 of 3 texts; give a smaller one, or more texts"):
        words_of_texts(TEXTS, min_count=4)
    for texts in ("one", [], [5], None):
        with pytest.raises(ValueError, match=r"texts: got .*; needs a list of texts"):
            words_of_texts(texts)
