"""Edited models on disk: read back they give the edited model's logits, in the source's own layout."""

import json
import os
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from causeway.engine.calls.run import run
from causeway.engine.intervention.requests import UnitEdit
from causeway.engine.model.forward import next_token_logits
from causeway.engine.scaled_neurons import ScaledNeurons, with_scaled
from causeway.ports.files.safetensors_files import INDEX, WEIGHTS
from causeway.ports.models.checkpoints import save_checkpoint
from causeway.ports.models.families import FAMILIES
from causeway.ports.models.load import load_model
from causeway.ports.models.published_write import EDIT, save_model
from tests.ports.models.gguf_writer import CONFIGS, WIDE, write_both
from tests.ports.models.test_family_parity import BASES, make
from tests.ports.models.test_family_parity import torch_logits as reference_logits

IDS = list(range(3, 14))
OTHERS = {
    "mistral": WIDE | {"model_type": "mistral", "sliding_window": 5},
    "olmo2": WIDE | {"model_type": "olmo2"},
}  # fmt: skip
PUBLISHED = {config["model_type"]: config for config in [*CONFIGS.values(), *OTHERS.values()]}


def edits(*numbers):
    """Edits of neurons from (layer, neuron, factor)."""
    return [UnitEdit(layer, neuron, factor, "scale", stream="mlp_act") for layer, neuron, factor in numbers]


SOME = edits((0, 3, 2.0), (1, 11, 0.0), (1, 5, -1.3), (0, 7, 1.7))


def published(folder, config):
    """A random model of a configuration, as a folder."""
    family = FAMILIES[config["model_type"]]
    read = family.read_config(config, "config.json")
    draw = np.random.default_rng(0)
    tensors = {
        name: (0.3 * draw.standard_normal(entry.shape)).astype(np.float32)
        for entry in family.name_map(read)
        for name in entry.names(read)
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    return folder


def logits(model, some=()):
    return run(model, IDS, edits=list(some)).logits[0]


@pytest.mark.parametrize("family", PUBLISHED)
def test_every_family_loads_again_to_the_edited_models_logits(tmp_path, family):
    model = load_model(published(tmp_path / "model", PUBLISHED[family]))
    again = load_model(save_model(model, tmp_path / "edited", SOME))
    edited = with_scaled(model.transformer, ScaledNeurons.of_edits(SOME, model))
    assert all(map(np.array_equal, jax.tree.leaves(again.transformer), jax.tree.leaves(edited)))
    expected = logits(model, SOME)
    assert np.abs(logits(again) - expected).max() < 1e-5 * max(1, np.abs(expected).max())
    assert np.abs(logits(model) - expected).max() > 1e-3
    assert again.config == model.config


@pytest.mark.parametrize("name", CONFIGS)
def test_a_gguf_file_becomes_a_folder_of_the_same_model(tmp_path, name):
    write_both(name, tmp_path / "folder", tmp_path / "model.gguf")
    model = load_model(tmp_path / "model.gguf")
    again = load_model(save_model(model, tmp_path / "edited", SOME))
    edited = with_scaled(model.transformer, ScaledNeurons.of_edits(SOME, model))
    assert again.config == model.config
    assert all(map(np.array_equal, jax.tree.leaves(again.transformer), jax.tree.leaves(edited)))


def test_a_converted_checkpoint_becomes_a_folder_of_the_same_model(tmp_path, model_dir):
    save_checkpoint(tmp_path / "converted", load_model(model_dir, storage="bfloat16"), model_dir)
    model = load_model(tmp_path / "converted", storage="bfloat16")
    folder = save_model(model, tmp_path / "edited", edits((1, 5, 2.0)))
    again = load_model(folder, storage="bfloat16")
    edited = with_scaled(model.transformer, ScaledNeurons.of_edits(edits((1, 5, 2.0)), model))
    assert all(map(np.array_equal, jax.tree.leaves(again.transformer), jax.tree.leaves(edited)))
    assert json.loads((folder / EDIT).read_text())["dtypes"] == ["bfloat16"]


def test_nothing_but_the_rows_differs_from_the_source(tmp_path, model_dir):
    before, after = (model_dir / WEIGHTS).read_bytes(), None
    folder = save_model(load_model(model_dir), tmp_path / "edited", edits((1, 5, -2.0)))
    after = (folder / WEIGHTS).read_bytes()
    assert len(after) == len(before)
    assert (model_dir / WEIGHTS).read_bytes() == before
    ours, theirs = load_file(folder / WEIGHTS), load_file(model_dir / WEIGHTS)
    name = "model.layers.1.mlp.down_proj.weight"
    theirs[name][:, 5] *= -2
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert (folder / "config.json").read_bytes() == (model_dir / "config.json").read_bytes()


def test_shards_stay_shards(tmp_path, model_dir):
    tensors = load_file(model_dir / WEIGHTS)
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in halves.items():
        save_file({name: tensors[name] for name in own}, model_dir / file)
    where = {name: file for file, own in halves.items() for name in own}
    (model_dir / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    (model_dir / WEIGHTS).unlink()
    model = load_model(model_dir)
    folder = save_model(model, tmp_path / "edited", edits((0, 1, 3.0), (1, 5, 0.5)))
    assert sorted(path.name for path in folder.iterdir()) == sorted([*halves, INDEX, EDIT, "config.json"])
    np.testing.assert_array_equal(logits(load_model(folder)), logits(model, edits((0, 1, 3.0), (1, 5, 0.5))))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_stored_dtype_is_kept_and_what_rounding_took_is_told(tmp_path, dtype):
    import ml_dtypes

    folder = published(tmp_path / "model", PUBLISHED["llama"])
    kind = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    save_file({name: a.astype(kind) for name, a in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    model = load_model(folder)
    for factor, exact in ((2.0, True), (1.3, False)):
        edited = save_model(model, tmp_path / f"times_{factor}", edits((0, 3, factor)))
        about = json.loads((edited / EDIT).read_text())
        assert about["dtypes"] == [dtype]
        assert about["neurons"] == [{"layer": 0, "neuron": 3, "factor": factor}]
        assert (about["rounding"] == 0) == exact
        assert about["rounding"] < 2 ** (-11 if dtype == "float16" else -8)
        assert (np.abs(logits(load_model(edited)) - logits(model, edits((0, 3, factor)))).max() < 1e-6) == exact


def test_the_bundled_model_brings_its_tokenizer(tmp_path):
    model = load_model("bundled:tiny")
    again = load_model(save_model(model, tmp_path / "edited", edits((1, 5, 2.0))))
    assert again.tokens("44+95=") == model.tokens("44+95=")
    assert (again.stop_ids, again.prepend_bos) == (model.stop_ids, model.prepend_bos)
    about = json.loads((tmp_path / "edited" / EDIT).read_text())
    assert about["source_fingerprint"] == model.fingerprint != again.fingerprint
    assert about["source"] == "bundled:tiny"


def test_a_folder_is_replaced_only_on_request_and_keeps_what_is_not_the_models(tmp_path, model_dir):
    model, folder = load_model(model_dir), tmp_path / "edited"
    save_model(model, folder, edits((0, 1, 2.0)))
    (folder / "model-00001-of-00001.safetensors").write_bytes(b"of an earlier model")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already"):
        save_model(model, folder, edits((0, 1, 3.0)))
    save_model(model, folder, edits((0, 1, 3.0)), overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", EDIT, WEIGHTS, "notes.txt"]
    np.testing.assert_array_equal(logits(load_model(folder)), logits(model, edits((0, 1, 3.0))))


def test_what_cannot_be_written_leaves_no_folder(tmp_path, model_dir):
    model, folder = load_model(model_dir), tmp_path / "edited"
    save_file({n: a.astype(np.float16) for n, a in load_file(model_dir / WEIGHTS).items()}, model_dir / WEIGHTS)
    with pytest.raises(ValueError, match="has changed since it was loaded"):
        save_model(model, folder, edits((0, 1, 2.0)))
    with pytest.raises(ValueError, match="neuron 0:1 times 1e\\+09 is not finite in float16"):
        save_model(load_model(model_dir), folder, edits((0, 1, 1e9)))
    with pytest.raises(ValueError, match="the model has layers"):
        save_model(load_model(model_dir), folder, edits((0, 99, 2.0)))
    assert not folder.exists()
    assert not folder.with_name("edited.partial").exists()


def test_the_models_own_folder_is_refused(tmp_path, model_dir):
    model = load_model(model_dir)
    for folder in (model_dir, model_dir.parent, os.path.relpath(model_dir)):
        with pytest.raises(ValueError, match="was loaded from"):
            save_model(model, folder, edits((0, 1, 2.0)), overwrite=True)
    shutil.rmtree(model_dir)
    with pytest.raises(ValueError, match="is not a folder here"):
        save_model(model, tmp_path / "edited", edits((0, 1, 2.0)))


@pytest.mark.parametrize("family", BASES)
def test_transformers_reads_the_same_logits(tmp_path, family):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import transformers

    make(family, tmp_path / "model").float().save_pretrained(tmp_path / "model")
    model = load_model(tmp_path / "model")
    save_model(model, tmp_path / "edited", SOME)
    theirs = getattr(transformers, BASES[family][1]).from_pretrained(tmp_path / "edited", dtype=torch.float32).eval()
    ours = next_token_logits(load_model(tmp_path / "edited").transformer, np.array([IDS]))
    np.testing.assert_allclose(ours, reference_logits(theirs, np.array([IDS])), atol=1e-4, rtol=1e-4)


# phi3 has a padding token by default that a vocabulary of 40 does not hold.
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "phi3"])
def test_transformers_reads_a_folder_made_of_a_gguf_file(tmp_path, name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from transformers import AutoModelForCausalLM

    write_both(name, tmp_path / "folder", tmp_path / "model.gguf")
    folder = save_model(load_model(tmp_path / "model.gguf"), tmp_path / "edited", SOME)
    theirs = reference_logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), np.array([IDS]))
    ours = next_token_logits(load_model(folder).transformer, np.array([IDS]))
    np.testing.assert_allclose(ours, theirs, atol=5e-5 * np.abs(theirs).max())
