"""Prompts, answers and features from files: what is read, and what is refused with its place named."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flax import nnx

from causeway.engine.analyses.patch_sweep.design import sweep_prompt
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.outcome.answers import Answer
from causeway.ports.models.tokenizer import load_tokenizer
from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer
from causeway.ports.prompts.prompt_files import read_prompts
from causeway.ports.prompts.sweep_inputs import read_answers, read_feature_table

ANSWERS = (Answer(" stop", "stop"), Answer(" bet $5", "bet", 5))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_word_tokenizer(build_word_tokenizer(["you lost. choice: stop bet $5", "choice you lo "], 100), folder)
    tokenizer = load_tokenizer(folder)
    config = ModelConfig("llama", 1, 8, 2, 1, 4, 8, tokenizer.vocab_size, max_position=12)
    return Model(Transformer(config, Numerics(), rngs=nnx.Rngs(0)), tokenizer, "tiny", "of the tests")


def sweep_prompts(path, model, answers=()):
    """The prompts of a file, as a sweep runs them."""
    records, _ = read_prompts([path])
    return [sweep_prompt(model, record, place, answers) for place, record in enumerate(records)]


@pytest.fixture
def write(tmp_path):
    def write(*records, name="prompts.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records))
        return str(path)

    return write


@pytest.fixture
def refuses():
    def check(message, call, *arguments):
        with pytest.raises(ValueError, match=message) as caught:
            call(*arguments)
        assert "\n" not in str(caught.value)

    return check


def test_prompts_are_tokenised_with_their_answers(write, model):
    path = write({"text": "you lost. choice:", "group": "a"}, {"text": "choice:", "group": 2, "id": 7})
    one, two = sweep_prompts(path, model, ANSWERS)
    assert (one.number, one.record.group, two.number, two.record.group) == (0, "a", 7, "2")
    assert list(one.tokens) == [model.tokenizer.bos_id, *model.tokenizer.encode("you lost. choice:")]
    assert one.record.answers == ANSWERS
    assert model.tokenizer.decode(one.answer_tokens[1]) == " bet $5"


def test_answers_are_the_same_behind_text_and_behind_its_ids(write, model, data_dir):
    """SentencePiece puts a space before a text: an answer by itself has one token more."""
    stories = dataclasses.replace(model, tokenizer=load_tokenizer(data_dir / "models" / "stories260K"))
    config = dataclasses.replace(model.config, vocab_size=512, max_position=64)
    stories = dataclasses.replace(stories, transformer=Transformer(config, Numerics(), rngs=nnx.Rngs(0)))
    text, answers = "Once upon a time, there was a little", (Answer(" girl", "girl"), Answer(" boy", "boy"))
    path = write({"text": text, "group": "a"}, {"tokens": stories.tokens(text), "group": "a"})
    one, other = sweep_prompts(path, stories, answers)
    assert (one.tokens, one.answer_tokens) == (other.tokens, other.answer_tokens)
    assert one.tokens + one.answer_tokens[0] == tuple(stories.tokens(text + " girl"))


def test_a_prompts_own_answers_come_before_the_common_ones(write, model):
    own = [{"text": " bet", "label": "go", "amount": 1.5}]
    (prompt,) = sweep_prompts(write({"text": "choice:", "group": "a", "answers": own}), model, ANSWERS)
    assert prompt.record.answers == (Answer(" bet", "go", 1.5),)


def test_token_ids_pass_unchanged(write, model):
    (prompt,) = sweep_prompts(write({"tokens": [3, 4, 3], "group": "a"}), model, ANSWERS)
    assert prompt.tokens == (3, 4, 3)
    assert prompt.answer_tokens[0] == tuple(model.tokenizer.encode(" stop"))


def test_names_of_prompts_leave_their_place_as_number(write, model):
    path = write({"text": "choice:", "group": "a", "id": "g1-r2"}, {"text": "choice:", "group": "a", "id": "g1-r3"})
    assert [p.number for p in sweep_prompts(path, model)] == [0, 1]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": [9999], "group": "a"}, "^prompt: token id 9999 is outside the vocabulary"),
        ({"text": "you lost. " * 9, "group": "a"}, "^prompt: .* but the context of tiny is 12"),
        ({"text": "choice:", "group": "a", "id": -1}, "^id: got -1"),
        ("{", "line 1: not JSON"),
    ],
)
def test_prompts_that_cannot_be_run_are_refused(write, model, refuses, record, message):
    refuses(message, sweep_prompts, write(record), model, ANSWERS)


def test_an_answer_that_merges_with_the_prompt_is_refused(write, model, refuses):
    refuses("merges with the end of the prompt", sweep_prompts, write({"text": "you lo", "group": "a"}), model, (
        Answer("st", "x"),
    ))  # fmt: skip


def test_answers_from_text_or_a_file(write, refuses):
    text = json.dumps([{"text": " stop", "label": "stop"}, {"text": " bet $5", "label": "bet", "amount": 5}])
    assert read_answers(text) == ANSWERS
    assert read_answers(write(text, name="answers.json")) == ANSWERS
    refuses("answers: not JSON", read_answers, "[{]")
    refuses(r"answers.json: answers: got dict; needs a list", read_answers, write({"a": 1}, name="answers.json"))
    refuses("each answer has text, label", read_answers, '[{"text": "a", "label": "b", "amuont": 3}]')


def test_features_from_lines_and_from_a_table(write, tmp_path):
    path = write({"layer": 1, "feature": 2, "value_a": 1}, {"layer": 0, "feature": 3, "value_b": 2.5}, name="f.jsonl")
    table = read_feature_table(path)
    assert table.to_pydict() == {"layer": [1, 0], "feature": [2, 3], "value_a": [1, None], "value_b": [None, 2.5]}
    pq.write_table(table, tmp_path / "f.parquet")
    assert read_feature_table(str(tmp_path / "f.parquet")).equals(table)


def test_features_that_cannot_be_read_are_refused(write, refuses, tmp_path):
    refuses("has no field feature", read_feature_table, write({"layer": 1}, name="f.jsonl"))
    mixed = write({"layer": 1, "feature": 2}, {"layer": "one", "feature": 2}, name="f.jsonl")
    refuses("line 2: layer: got 'one'; needs a whole number", read_feature_table, mixed)
    mixed = write({"layer": 1, "feature": 2, "note": 1}, {"layer": 1, "feature": 3, "note": "b"}, name="f.jsonl")
    refuses("needs each field of one type in all records", read_feature_table, mixed)
    pq.write_table(pa.table({"layer": [1]}), tmp_path / "lacking.parquet")
    refuses("lacks the columns .'feature'.", read_feature_table, str(tmp_path / "lacking.parquet"))
    refuses("not a readable Parquet file", read_feature_table, write("hello there", name="f.parquet"))
    refuses("suffix '.csv' is not read", read_feature_table, write("layer,feature", name="f.csv"))


def test_a_missing_table_of_features_is_called_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet: no such file"):
        read_feature_table(str(tmp_path / "gone.parquet"))
