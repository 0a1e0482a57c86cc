import hashlib
import json

import pytest
import tokenizers

from causeway.engine.model import text
from causeway.ports.files.hub import BUNDLED
from causeway.ports.models.tokenizer import has_tokenizer, load_tokenizer
from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer

TEXTS = ["Hello world", " two  spaces\nand a line", "naïve café 你好 🙂", "", "<s> written out", "1234567 3.14"]


@pytest.fixture
def directory(tmp_path):
    """A word-level tokenizer with a post-processor that puts <s> in front, and leftovers of a training run."""
    vocabulary = {"<s>": 0, "</s>": 1, "<unk>": 2, "one": 3, "two": 4}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=7)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write_config(tmp_path)
    return tmp_path


def write_config(directory, **changes):
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>", "special": True}} | changes
    (directory / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def test_ids_are_the_text_alone(directory):
    tokenizer = load_tokenizer(directory)
    assert tokenizer.encode("one two one two") == [3, 4, 3, 4]
    assert tokenizer.encode("") == []
    assert tokenizer.decode([0, 3, 4, 1]) == "<s> one two </s>"
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (5, 0, 1)
    assert tokenizer.fingerprint == hashlib.sha256((directory / "tokenizer.json").read_bytes()).hexdigest()


@pytest.mark.parametrize(("written", "policy"), [(None, True), (True, True), (False, False)])
def test_bos_policy_of_the_files(directory, written, policy):
    write_config(directory, add_bos_token=written)
    assert load_tokenizer(directory).files_prepend_bos is policy


def test_without_bos_token_there_is_none_to_prepend(directory):
    write_config(directory, bos_token=None)
    tokenizer = load_tokenizer(directory)
    assert tokenizer.bos_id is None
    assert tokenizer.files_prepend_bos is False


def test_special_token_map_of_older_files(directory):
    write_config(directory, bos_token=None)
    (directory / "special_tokens_map.json").write_text('{"bos_token": "<s>"}')
    assert load_tokenizer(directory).bos_id == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bos_token": 0}, r"tokenizer_config\.json: bos_token is 0; needs the text of a token"),
        ({"bos_token": "<bos>"}, r"tokenizer_config\.json: bos_token '<bos>' is not in tokenizer\.json"),
        ({"added_tokens_decoder": {"9": {"content": "<new>"}}}, r"added token '<new>' \(id 9\) is not in"),
    ],
)
def test_config_that_disagrees_is_refused(directory, changes, message):
    write_config(directory, **changes)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(directory)


def test_text_without_tokens_for_it(tmp_path):
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"one": 0}, unk_token="<unk>")).save(
        str(tmp_path / "tokenizer.json")
    )
    with pytest.raises(ValueError, match="cannot tokenize 'three'"):
        load_tokenizer(tmp_path).encode("three")


def test_parts_outside_the_vocabulary_are_refused_unless_asked_for(tmp_path):
    save_word_tokenizer(build_word_tokenizer(["the cat sat"], 100), tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"^prompt: ' dog' in 'the dog sat' is not in the model's vocabulary"):
        tokenizer.encode("the dog sat")
    with pytest.raises(ValueError, match="' dog'"):
        tokenizer.encode("the<unk> dog")
    assert tokenizer.encode("the dog sat", unknown=True)[1] == tokenizer.unknown_id
    assert tokenizer.encode("the<unk> cat")[1] == tokenizer.unknown_id


def test_a_bundled_model_names_the_prompts_it_knows(tmp_path):
    with pytest.raises(ValueError, match=r"--behaviours=bundled_slot_machine,bundled_agreement,.*` makes prompts"):
        load_tokenizer(BUNDLED / "tiny").encode("Calculate: 53 + 51 =")
    save_word_tokenizer(build_word_tokenizer(["the cat sat"], 100), tmp_path)
    with pytest.raises(ValueError, match=r"give token ids$"):
        load_tokenizer(tmp_path).encode("the dog sat")


def test_no_tokenizer(tmp_path):
    assert not has_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json: no such file; .* only token ids"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    assert has_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"only tokenizer\.model; write it with .*save_pretrained"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "not a readable tokenizer"), ("version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer")],
)
def test_damaged_file(tmp_path, content, message):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(("name", "hello"), [("gpt2", [15496, 995]), ("llama3", [9906, 1917]), ("qwen2", [9707, 1879])])
def test_published_tokenizers(data_dir, name, hello):
    tokenizer = load_tokenizer(data_dir / "tokenizers" / name)
    assert tokenizer.encode("Hello world") == hello
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in TEXTS)


REAL = ["tokenizers/gpt2", "tokenizers/llama3", "tokenizers/qwen2", "models/stories260K"]


@pytest.mark.parametrize("name", REAL)
def test_text_after_text_has_the_tokens_of_the_whole_and_back(data_dir, name):
    tokenizer, before = load_tokenizer(data_dir / name), "Once upon a time, there was a little"
    own, continuations = text.continued(tokenizer, before, [" girl", "\nQ:", ".", " boy's 36 + 37"])
    for ids in continuations:
        added = text.text_after(tokenizer, own, ids)
        assert own + ids == tokenizer.encode(before + added)
        # The same behind the prompt's ids: their text is the prompt's, BOS or not.
        text_of = text.text_of(tokenizer, text.with_bos(tokenizer, own))
        assert text.continued(tokenizer, text_of, [added]) == (own, [ids])
    assert [text.text_after(tokenizer, own, ids) for ids in continuations] == [" girl", "\nQ:", ".", " boy's 36 + 37"]
    assert "".join(text.token_texts(tokenizer, own)) == before
    halves = text.token_texts(tokenizer, tokenizer.encode("naïve 你好 🙂 ok"))
    assert all(halves)
    assert len(halves) == len(tokenizer.encode("naïve 你好 🙂 ok"))


@pytest.mark.parametrize("name", [name for name in REAL if "qwen" not in name])
def test_a_text_with_bos_has_one(data_dir, name):
    tokenizer = load_tokenizer(data_dir / name)
    for written in ("Hello world", " Hello", "\nHello", ""):
        bos = tokenizer.decode([tokenizer.bos_id])
        ids = text.with_bos(tokenizer, tokenizer.encode(written))
        assert text.with_bos(tokenizer, tokenizer.encode(bos + written)) == ids
        assert ids.count(tokenizer.bos_id) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_ids_equal_transformers(data_dir, name):
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast.from_pretrained(data_dir / name)
    ours = load_tokenizer(data_dir / name)
    assert ours.vocab_size == len(theirs)
    assert (ours.bos_id, ours.eos_id) == (theirs.bos_token_id, theirs.eos_token_id)
    for written in TEXTS:
        ids = theirs.encode(written, add_special_tokens=False)
        assert ours.encode(written) == ids
        assert ours.decode(ids) == theirs.decode(ids, clean_up_tokenization_spaces=False)
    assert (theirs.encode("a")[0] == ours.bos_id) is ours.files_prepend_bos
