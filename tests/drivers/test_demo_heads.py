"""`causeway demo --model=...` on a model that is not the bundled one: every part is told, and the picture drawn."""

import re

import pytest

from causeway.engine.analyses.prompts.answer_pieces import text_pieces
from causeway.engine.analyses.prompts.deal import Sizes
from causeway.engine.analyses.prompts.make import make_prompts
from causeway.ports.models.llama import save_llama
from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A random model that knows the words of the sentences, with a chat template."""
    place = tmp_path_factory.mktemp("demo")
    records = make_prompts("indirect_objects", Sizes(600, 0), 0, text_pieces)["train"]
    texts = [f"{record.text}{answer.text}." for record in records for answer in record.answers]
    words = build_word_tokenizer([*texts, "What is the capital of France?"] * 2, 400)
    save_llama(place / "model", tiny.make_transformer(num_layers=2, vocab_size=words.get_vocab_size(), max_position=64))
    save_word_tokenizer(words, place / "model")
    (place / "model" / "chat_template.jinja").write_text("{{ messages[0].content }}")
    return place


@pytest.mark.slow
def test_every_part_is_told_and_the_picture_is_there(drive, folder):
    given = [f"--model={folder / 'model'}", f"--workdir={folder / 'work'}"]
    shown, idle = drive("demo", given, [*given, "--states=9"])
    assert shown["status"] == 0, shown["err"]
    out = shown["out"]
    assert re.search(r"40 prompts, such as '.* (to|gave|handed|passed|offered).*'", out)
    rows = re.findall(r"head +(\d\.\d): ([+-]\d+\.\d\d) in \[([+-]\d+\.\d\d), ([+-]\d+\.\d\d)\]", out)
    assert len(rows) == 8
    assert all(float(low) <= float(effect) <= float(high) for _, effect, low, high in rows)
    assert "without the  1 strongest" in out
    assert "it answers" in out
    assert (folder / "work" / "indirect_object.png").read_bytes().startswith(b"\x89PNG")
    assert "--states: without effect on another model than the bundled one" in idle["err"]
