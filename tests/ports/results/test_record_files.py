"""Records as safetensors: the same numbers and dtypes by name, prompts and rollouts as long as they are."""

import dataclasses

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import causeway as cw

PROMPTS = ["44+95=", "today the painter"]
TAPS = [
    cw.Tap("resid_post", layers=(0, 2)), cw.Tap("attn_pattern", layers=1), cw.Tap("head_out", layers=1),
    cw.Tap("resid_post", "top_k", layers=1, width=3),
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def saes(model):
    return cw.load_dictionaries("bundled:tiny", for_model=model)


def test_what_run_recorded_is_in_the_file(model, saes, tmp_path):
    out = cw.run(model, PROMPTS, taps=TAPS, dictionary=saes, logits=None)
    path = cw.save_records(out, tmp_path / "a" / "x.safetensors", model)
    read = load_file(path)
    for i in range(2):
        for name in ("resid_post.0", "resid_post.2", "attn_pattern.1", "head_out.1"):
            np.testing.assert_array_equal(read[f"{i}/{name}"], out[name][i])
        np.testing.assert_array_equal(read[f"{i}/resid_post.1.top_k"], out["resid_post", 1, "top_k"][i])
        np.testing.assert_array_equal(read[f"{i}/resid_post.1.top_k.ids"], out.records[3][i].ids[0])
        np.testing.assert_array_equal(read[f"{i}/tokens"], model.tokens(PROMPTS[i]))
        np.testing.assert_array_equal(read[f"{i}/positions"], np.arange(len(out.tokens[i])))
    assert len(read) == 2 * 8
    with safe_open(path, "np") as file:
        about = file.metadata()
    assert (about["model"], about["model_fingerprint"]) == (model.name, model.fingerprint)


def test_one_prompt_with_arms_under_the_names_of_transformer_lens(model, saes, tmp_path):
    arms = [[], [cw.FeatureEdit(0, 5, 2.0)]]
    out = cw.run(model, PROMPTS[0], arms=arms, taps=TAPS, dictionary=saes)
    read = load_file(cw.save_records(out, tmp_path / "x.safetensors", model, names="transformer_lens"))
    np.testing.assert_array_equal(read["blocks.2.hook_resid_post"], out["resid_post", 2, "raw"][0])
    np.testing.assert_array_equal(read["blocks.1.attn.hook_z"], out["blocks.1.attn.hook_z"][0])
    assert read["blocks.1.attn.hook_pattern"].shape == (2, 4, len(out.tokens[0]), len(out.tokens[0]))
    assert read["blocks.1.hook_resid_post.top_k"].shape == (2, len(out.tokens[0]), 3)
    normed = cw.run(model, PROMPTS[0], taps=["attn_in"])
    with pytest.raises(ValueError, match=r"names: attn_in has no TransformerLens hook in a \w+; hooks stand at embed"):
        cw.save_records(normed, tmp_path / "y.safetensors", model, names="transformer_lens")


def test_rollouts_are_as_long_as_they_are(model, saes, tmp_path):
    gen = cw.generate(model, PROMPTS, taps=TAPS[:1], trials=2, max_new_tokens=6, seed=1, rows=4)
    read = load_file(cw.save_records(gen, tmp_path / "x.safetensors", model))
    lengths = set()
    for i, result in enumerate(gen):
        for trial in range(2):
            values, valid = read[f"{i}/0/{trial}/resid_post.2"], result.generation.records[0].valid[trial]
            np.testing.assert_array_equal(values, gen["resid_post", 2][i][0, trial][valid])
            tokens, positions = (read[f"{i}/0/{trial}/{name}"] for name in ("tokens", "positions"))
            whole = [*result.generation.prompt_tokens, *result.generation.tokens[trial]]
            np.testing.assert_array_equal(np.array(whole)[positions], tokens)
            assert len(values) == len(tokens) == valid.sum()
            lengths.add(len(values))
    assert len(lengths) > 1
    alone = load_file(cw.save_records(gen[1], tmp_path / "y.safetensors", model))
    np.testing.assert_array_equal(alone["0/1/resid_post.0"], read["1/0/1/resid_post.0"])


def test_bfloat16_stays(model, tmp_path):
    out = cw.run(model, PROMPTS[0], taps="resid_post.2")
    record = dataclasses.replace(out.records[0][0], values=out.records[0][0].values.astype(ml_dtypes.bfloat16))
    short = dataclasses.replace(out, records=((record,),))
    path = cw.save_records(short, tmp_path / "x.safetensors", model)
    with safe_open(path, "np") as file:
        assert file.get_slice("resid_post.2").get_dtype() == "BF16"
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from safetensors.torch import load_file as load_torch

    found = load_torch(path)["resid_post.2"]
    assert found.dtype == torch.bfloat16
    np.testing.assert_array_equal(found.float().numpy(), np.asarray(record.values[0], np.float32))


def test_representations_and_tables(model, saes, tmp_path):
    found = cw.represent(model, PROMPTS, stream="resid_post.2")
    path = cw.save_records(found, tmp_path / "x.safetensors", model, names="transformer_lens")
    read = load_file(path)
    np.testing.assert_array_equal(read["blocks.2.hook_resid_post"], found.vectors)
    np.testing.assert_array_equal(read["positions"], [len(model.tokens(prompt)) - 1 for prompt in PROMPTS])
    table = cw.features(model, PROMPTS, saes, top_k=3)
    read = load_file(cw.save_records(table, tmp_path / "x.safetensors", model))
    assert {name: values.tolist() for name, values in read.items()} == table.to_pydict()
    with pytest.raises(ValueError, match="records: column word is string; needs numbers, without nulls"):
        cw.save_records(pa.table({"word": ["a"]}), tmp_path / "x.safetensors", model)


def test_what_is_no_record_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="records: nothing was tapped; name streams"):
        cw.save_records(cw.run(model, PROMPTS[0]), tmp_path / "x.safetensors", model)
    out = cw.run(model, PROMPTS[0], taps="resid_post")
    with pytest.raises(ValueError, match=r"path: got .*; needs the name of a \.safetensors file"):
        cw.save_records(out, tmp_path / "x.npz", model)
    with pytest.raises(ValueError, match="names: got 'nnsight'; needs one of causeway, transformer_lens"):
        cw.save_records(out, tmp_path / "x.safetensors", model, names="nnsight")
    assert not list(tmp_path.iterdir())
