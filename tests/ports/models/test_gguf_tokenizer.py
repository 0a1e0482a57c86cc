"""Tokenizers written into GGUF files and read back give the ids of the originals."""

import json

import gguf
import pytest

from causeway.ports.models.load import read_stop_tokens
from causeway.ports.models.tokenizer import load_tokenizer
from tests.ports.models.gguf_writer import write_both

TEXTS = (
    "Hello world! It's 12345 o'clock, isn't it?", "  three   spaces\n\n\tand a tab\r\n",
    "def f(x):\n    return x**2  # ok", "naïve café — “quotes” 北京 😀", "IT'S 3.14159 DON'T", "", " ", "a\u0301",
)  # fmt: skip
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def write_tokenizer(folder, file, model, pre, bos=None):
    """What llama.cpp's converter writes of a tokenizer.json, beside a model that is too small for it."""
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["id"]: token for token in content["added_tokens"]}
    named = {number: text for text, number in content["model"]["vocab"].items()}
    named |= {number: token["content"] for number, token in added.items()}
    tokens = [named.get(number, f"[PAD{number}]") for number in range(max(named) + 1)]
    kinds = [CONTROL if i in added else NORMAL for i in range(len(tokens))]
    if model == "llama":
        kinds[0] = UNKNOWN
        kinds = [BYTE if text.startswith("<0x") else kind for text, kind in zip(tokens, kinds, strict=True)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]

    def change(writer):
        writer.add_tokenizer_model(model)
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types(kinds)
        if model == "llama":
            writer.add_token_scores([-float(i) for i in range(len(tokens))])
        else:
            writer.add_token_merges(merges)
        if bos is not None:
            writer.add_bos_token_id(bos)

    write_both("llama", file.parent / "folder", file, change=change)


@pytest.mark.parametrize(
    ("name", "pre", "begins"),
    [
        ("gpt2", "gpt-2", False),
        pytest.param("llama3", "llama-bpe", True, marks=pytest.mark.slow),
        pytest.param("qwen2", "qwen2", False, marks=pytest.mark.slow),
    ],
)
def test_byte_level_ids_are_those_of_the_original(name, pre, begins, data_dir, tmp_path):
    folder = data_dir / "tokenizers" / name
    original = load_tokenizer(folder)
    write_tokenizer(folder, tmp_path / "model.gguf", "gpt2", pre, original.bos_id)
    ours = load_tokenizer(tmp_path / "model.gguf")
    for text in TEXTS:
        assert ours.encode(text) == original.encode(text), text
        assert ours.decode(ours.encode(text)) == original.decode(original.encode(text))
    assert ours.bos_id == original.bos_id
    assert ours.files_prepend_bos == (begins and original.bos_id is not None)


def test_sentencepiece_ids_are_those_of_the_original(data_dir, tmp_path):
    folder = data_dir / "models" / "stories260K"
    original = load_tokenizer(folder)
    write_tokenizer(folder, tmp_path / "model.gguf", "llama", "default", original.bos_id)
    ours = load_tokenizer(tmp_path / "model.gguf")
    for text in TEXTS:
        assert ours.encode(text) == original.encode(text), text
        assert ours.decode(ours.encode(text)) == original.decode(original.encode(text))
    assert ours.files_prepend_bos


@pytest.mark.parametrize(
    ("model", "message"), [("bert", "tokenizer.ggml.model is 'bert'"), ("gpt2", "'nobody', a way")]
)
def test_other_vocabularies_are_refused(model, message, tmp_path):
    def change(writer):
        writer.add_tokenizer_model(model)
        writer.add_tokenizer_pre("nobody")
        writer.add_token_list(["a", "b"])

    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf", change=change)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path / "model.gguf")


def test_merges_of_another_vocabulary_are_refused(tmp_path):
    def change(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(["a", "b"])
        writer.add_token_merges(["a b"])

    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf", change=change)
    with pytest.raises(ValueError, match=r"model.gguf: not a readable vocabulary"):
        load_tokenizer(tmp_path / "model.gguf")


def test_without_a_vocabulary_only_ids_are_prompts(tmp_path):
    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf")
    with pytest.raises(FileNotFoundError, match="without it only token ids can be used as prompts"):
        load_tokenizer(tmp_path / "model.gguf")


def test_stops_are_the_ends_of_sequence_and_turn(tmp_path):
    def change(writer):
        writer.add_eos_token_id(3)
        writer.add_eot_token_id(5)

    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf", change=change)
    assert read_stop_tokens(tmp_path / "model.gguf") == (3, 5)
    assert gguf.GGUFReader(tmp_path / "model.gguf").fields["tokenizer.ggml.eot_token_id"].contents() == 5
