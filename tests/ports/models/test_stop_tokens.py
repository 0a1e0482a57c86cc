"""Where a published model ends what it writes: read from its files, and obeyed as transformers' generate does."""

import json

import numpy as np
import pytest

import causeway as cw
from causeway.ports.models.checkpoints import save_checkpoint
from causeway.ports.models.load import load_model, read_stop_tokens
from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer

PROMPT = [3, 7, 1]


def write(directory, name, **fields):
    path = directory / name
    there = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(there | fields))


@pytest.mark.parametrize(
    ("config", "generation", "stops"),
    [
        ({}, None, None),
        ({"eos_token_id": 2}, None, (2,)),
        ({"eos_token_id": [2, 5]}, None, (2, 5)),
        ({"eos_token_id": 2}, {"eos_token_id": [128009, 5]}, (128009, 5)),
        ({"eos_token_id": 2}, {"do_sample": True}, (2,)),
        ({"eos_token_id": 2}, {"eos_token_id": None}, (2,)),
        ({"eos_token_id": -1}, None, ()),
        ({"eos_token_id": [4, 4, 5.0]}, None, (4, 5)),
    ],
)
def test_the_generation_config_goes_before_the_config(tmp_path, config, generation, stops):
    write(tmp_path, "config.json", **config)
    if generation is not None:
        write(tmp_path, "generation_config.json", **generation)
    assert read_stop_tokens(tmp_path) == stops


@pytest.mark.parametrize("wrong", ["</s>", True, 2.5, [[2]], 2**40, {"id": 2}, [None]])
def test_what_is_no_token_id_is_refused_with_its_file(model_dir, wrong):
    write(model_dir, "generation_config.json", eos_token_id=wrong)
    with pytest.raises(ValueError, match=r"generation_config\.json: eos_token_id: got .*; needs a whole number"):
        load_model(model_dir)


def test_without_any_the_tokenizers_end_of_sequence_stops(model_dir):
    assert load_model(model_dir).stop_ids == ()
    save_word_tokenizer(build_word_tokenizer(["a b"], 16), model_dir)
    assert load_model(model_dir).stop_ids == (1,)
    write(model_dir, "generation_config.json", eos_token_id=[4, 1])
    assert load_model(model_dir).stop_ids == (4, 1)


def test_a_converted_model_keeps_its_stops_and_its_way_with_bos(model_dir, tmp_path):
    save_word_tokenizer(build_word_tokenizer(["a b"], 16), model_dir)
    write(model_dir, "generation_config.json", eos_token_id=[4, 1])
    for policy in (True, False):
        save_checkpoint(tmp_path / str(policy), load_model(model_dir, prepend_bos=policy), model_dir)
        kept = load_model(tmp_path / str(policy))
        assert (kept.stop_ids, kept.prepend_bos) == ((4, 1), policy)
    assert load_model(tmp_path / "False", prepend_bos=True).prepend_bos is True


def _free(model):
    """What the model writes where nothing stops it."""
    [result] = cw.generate(model, PROMPT, max_new_tokens=10, temperature=0.0, stop=(), rows=1)
    return result.generation.tokens[0].tolist()


@pytest.mark.parametrize("where", ["config.json", "generation_config.json"])
def test_rollouts_end_where_transformers_ends_them(model_dir, where):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    free = _free(load_model(model_dir))
    stop = next(token for place, token in enumerate(free) if place and token not in free[:place])
    # One id that is written and one that is not; the other file says something else.
    unused = next(i for i in range(16) if i not in free)
    write(model_dir, "config.json", eos_token_id=unused)
    write(model_dir, where, eos_token_id=[unused, stop])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model_dir)
    told = theirs.generate(torch.tensor([PROMPT]), max_new_tokens=10, do_sample=False, pad_token_id=0)
    [result] = cw.generate(load_model(model_dir), PROMPT, max_new_tokens=10, temperature=0.0, rows=1)
    written = result.generation.tokens[0]
    assert written[written >= 0].tolist() == told[0, len(PROMPT) :].tolist() == free[: free.index(stop) + 1]
    np.testing.assert_array_equal(_free(load_model(model_dir)), free)
