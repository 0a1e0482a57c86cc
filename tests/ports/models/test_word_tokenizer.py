"""The word-level tokenizer gives texts back, knows its limits, and is what transformers and the loader read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.ports.models.tokenizer import load_tokenizer
from causeway.ports.models.word_tokenizer import build_word_tokenizer, copy_tokenizer, save_word_tokenizer

TEXTS = ["the cat sat.\n the cat ran", "a dog_ran, 12+30=42!", "bet $10-$100"]


def test_texts_come_back_and_digits_stand_alone():
    tokenizer = build_word_tokenizer(TEXTS, 100)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text
    assert tokenizer.encode("bet $100", add_special_tokens=False).tokens == ["bet", " $", "1", "0", "0"]


@given(st.text(alphabet="ab 1.\n_$é", max_size=20))
def test_any_text_of_known_characters_comes_back(text):
    tokenizer = build_word_tokenizer([text], 1000)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_the_vocabulary_is_limited_to_the_most_frequent():
    tokenizer = build_word_tokenizer(["x x x y"], 14)
    assert tokenizer.get_vocab_size() == 14
    assert tokenizer.encode("x x y", add_special_tokens=False).tokens == ["<unk>", " x", "<unk>"]
    with pytest.raises(ValueError, match="needs more than 13"):
        build_word_tokenizer(["x"], 13)


def test_ids_do_not_depend_on_the_order_of_the_texts():
    assert build_word_tokenizer(TEXTS, 100).to_str() == build_word_tokenizer(TEXTS[::-1], 100).to_str()


def test_the_files_are_read_alike_by_the_loader_and_by_transformers(tmp_path):
    save_word_tokenizer(build_word_tokenizer(TEXTS, 100), tmp_path / "a")
    copy_tokenizer(tmp_path / "a", tmp_path / "b")
    ours = load_tokenizer(tmp_path / "b")
    assert (ours.bos_id, ours.eos_id, ours.files_prepend_bos) == (0, 1, True)
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "b")
    for text in TEXTS:
        assert theirs(text)["input_ids"] == [ours.bos_id, *ours.encode(text)]
        assert theirs.decode(ours.encode(text)) == text == ours.decode(ours.encode(text))


def test_a_directory_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        copy_tokenizer(tmp_path, tmp_path / "b")
