"""Text in the encodings that people's tools write reads as the same text; anything else is one line with the file."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.ports.files.foreign import check_file
from causeway.ports.files.jsonl import read_lines, read_texts
from causeway.ports.files.text_files import decoded, read_text, utf8_lines
from causeway.ports.prompts.prompt_files import read_prompts

TEXT = 'caf\xe9 \u4f60\n\n"\U0001f642"\u2028x\n'
ENCODINGS = {
    "utf-8": b"", "utf-8-sig": b"", "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE,
}  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_same_text(tmp_path, encoding, end):
    path = tmp_path / "a.txt"
    path.write_bytes(ENCODINGS[encoding] + TEXT.replace("\n", end).encode(encoding))
    assert read_text(path) == TEXT
    assert [decoded(line, "a.txt") for line in utf8_lines(path)] == TEXT.split("\n")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff")))
def test_any_text_comes_back(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert read_text(path) == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("caf\xe9".encode("latin-1"), r"a\.txt: byte 3 \(0xe9\) is not UTF-8 \(.*\); save the file as UTF-8"),
        (codecs.BOM_UTF8 + b"a\xff", r"a\.txt: byte 4 \(0xff\) is not UTF-8"),
        (codecs.BOM_UTF16_LE + b"a\0b", r"a\.txt: byte 4 \(0x62\) is not UTF-16-LE"),
        ("ab".encode("utf-16-le"), r"a\.txt: byte 1 is 0, so it is no text, or UTF-16 without a byte order mark"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"a\.txt: a git-LFS pointer"),
    ],
)
def test_other_encodings_are_refused_with_file_and_byte(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_text(tmp_path / "a.txt")
    assert "\n" not in str(caught.value)


def test_size_and_kind_are_looked_at_before_reading(tmp_path):
    (tmp_path / "a.txt").write_text("12345")
    assert check_file(tmp_path / "a.txt", 5) == 5
    with pytest.raises(ValueError, match=r"a\.txt: has 5 bytes; files of this kind are read up to 4 bytes"):
        read_text(tmp_path / "a.txt", 4)
    with pytest.raises(ValueError, match="is a folder; give one of its files"):
        read_text(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"b\.txt: no such file; make it"):
        read_text(tmp_path / "b.txt", missing="make it")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_all_commands_read_what_windows_writes(tmp_path, encoding):
    record = '{"text": "a", "prompt": "a", "group": "x", "correct_answer": "b", "incorrect_answer": "c"}\r\n'
    (tmp_path / "a.jsonl").write_bytes(record.encode(encoding))
    (tmp_path / "b.txt").write_bytes("first\r\nsecond\r\n".encode(encoding))
    assert read_lines(tmp_path / "a.jsonl", dict).items[0]["text"] == "a"
    assert read_prompts([tmp_path / "a.jsonl"])[0][0].correct == "b"
    assert read_texts(tmp_path / "a.jsonl") == ["a"]
    assert read_texts(tmp_path / "b.txt") == ["first", "second"]
