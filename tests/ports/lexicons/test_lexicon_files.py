import pytest

from causeway.ports.lexicons.lexicon_files import given_words, lexicon_words, write_lexicon
from causeway.ports.lexicons.maths import SUBJECTS, maths_words


def test_the_curated_lexicon_is_a_few_hundred_words_each_once():
    words = lexicon_words("maths")
    assert words == maths_words()
    assert 300 < len(words) < 700
    assert len({word.lower() for word in words}) == len(words)
    assert {"add", "square root", "fifty", "if and only if", "theorem", "dollar", "triangle"} <= set(words)
    assert all(word == word.strip() and word for word in words)
    assert set(SUBJECTS) >= {"operations", "numbers", "logic", "proof", "money", "time"}


def test_words_come_from_lines_of_text_or_json(tmp_path):
    (tmp_path / "a.txt").write_text("half\n\n square root \n")
    (tmp_path / "b.jsonl").write_text('"half"\n{"text": "square root"}\n')
    for name in ("a.txt", "b.jsonl"):
        assert lexicon_words(tmp_path / name) == ["half", "square root"]


def test_a_lexicon_is_read_as_it_was_written(tmp_path):
    write_lexicon(tmp_path / "lexicon.jsonl", ["a", '"quoted"', "é"])
    assert lexicon_words(tmp_path / "lexicon.jsonl") == ["a", '"quoted"', "é"]


def test_what_is_no_lexicon_is_refused(tmp_path):
    for source in ("math", "words.csv", 5):
        with pytest.raises(ValueError, match=r"lexicon: got .*; needs maths, or a file \(\.jsonl"):
            lexicon_words(source)
    with pytest.raises(FileNotFoundError, match="no such file"):
        lexicon_words(tmp_path / "none.txt")


def test_given_words_are_listed_or_of_a_file_and_may_have_weights(tmp_path):
    assert given_words("key, two words,") == ["key", "two words"]
    (tmp_path / "words.txt").write_text("key\n\n two words\n")
    assert given_words(str(tmp_path / "words.txt")) == ["key", "two words"]
    (tmp_path / "words.jsonl").write_text('{"text": "key", "weight": -1.5}\n{"text": " a", "weight": 2}\n')
    assert given_words(str(tmp_path / "words.jsonl")) == {"key": -1.5, "a": 2.0}
    (tmp_path / "some.jsonl").write_text('{"text": "key", "weight": -1.5}\n{"text": "a"}\n')
    with pytest.raises(ValueError, match=r"some.jsonl line 2: has the fields text; needs text and weight"):
        given_words(str(tmp_path / "some.jsonl"))
    with pytest.raises(FileNotFoundError):
        given_words(str(tmp_path / "absent.txt"))
