import pytest

from causeway.ports.files.jsonl import read_lines, read_texts


@pytest.fixture
def file(tmp_path):
    def write(name: str, content: str):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "one"}\n\n{"text": "two\u2028lines", "id": 3}\n'),
        ("a.jsonl", '"one"\n"two\u2028lines"'),
        ("a.json", '["one", "two\u2028lines"]'),
        ("a.json", '[{"text": "one"}, {"text": "two\u2028lines"}]'),
        ("a.json", '{"text": "one"}\n{"text": "two\u2028lines"}'),
        ("a.txt", "one\n\n  \ntwo\u2028lines\n"),
    ],
)
def test_every_shape_gives_the_same_texts(file, name, content):
    assert read_texts(file(name, content)) == ["one", "two\u2028lines"]


def test_records_and_another_field(file):
    path = file("a.jsonl", '{"prompt": "p", "label": "risky"}')
    assert read_lines(path, dict).items == [{"prompt": "p", "label": "risky"}]
    assert read_texts(path, field="prompt") == ["p"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "one"}\n{"text": }', r"a\.jsonl line 2: not JSON"),
        ("a.jsonl", '{"text": "one"}\n\n{"prompt": "two"}', r"a\.jsonl line 3: got fields prompt; .* 'text'"),
        ("a.json", '["one", 2]', r"a\.json entry 2: got int; needs a string"),
        ("a.json", '["one"', r"a\.json: not JSON"),
        ("a.jsonl", "\n", "holds no usable line"),
        ("a.txt", "", "holds no text"),
        ("a.csv", "", r"suffix '\.csv' is not read; needs one of \.jsonl, \.ndjson, \.json, \.txt"),
    ],
)
def test_bad_texts(file, name, content, message):
    with pytest.raises(ValueError, match=message):
        read_texts(file(name, content))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '"text"', r"line 1: got a JSON str; needs an object"),
        ("a.json", "[]", "holds no usable line"),
        ("a.txt", "text", "plain text has no fields"),
    ],
)
def test_bad_records(file, name, content, message):
    with pytest.raises(ValueError, match=message):
        read_lines(file(name, content), dict)


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv", "a"])
def test_no_such_file(tmp_path, name):
    """Whatever the suffix of what is not there."""
    for read in (read_texts, lambda path: read_lines(path, dict)):
        with pytest.raises(FileNotFoundError, match=rf"{name}: no such file"):
            read(tmp_path / name)


def test_published_texts(data_dir):
    assert len(read_texts(data_dir / "text" / "tinystories_1000.json")) == 1000
    assert len(read_lines(data_dir / "text" / "gsm8k" / "test.jsonl", dict).items) == 1319
    assert read_texts(data_dir / "text" / "sva" / "simple_test.json", field="clean_prefix")[0] == "The uncle"
