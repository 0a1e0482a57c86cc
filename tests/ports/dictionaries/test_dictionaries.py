import dataclasses
import json
import shutil
import warnings
from fnmatch import fnmatch

import huggingface_hub
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig, take
from causeway.ports.dictionaries import circuit_tracer_write, saelens_write
from causeway.ports.dictionaries.load import load_dictionaries, save_dictionary
from causeway.ports.files import hub
from causeway.ports.files.safetensors_files import write_tensors
from causeway.ports.models.load import load_model

D, F = 8, 12
EXTRA = {
    "relu": (),
    "jumprelu": ("threshold",),
    "topk": (),
    "gated": ("log_scale", "gate_bias", "magnitude_bias"),
}


def random_stack(kind="jumprelu", layers=(0, 1), d=D, stream="resid_post") -> Dictionary:
    rng = np.random.default_rng(0)
    p = len(layers)
    shapes = {"W_enc": (p, d, F), "b_enc": (p, F), "W_dec": (p, F, d), "b_dec": (p, d)}
    shapes |= dict.fromkeys(EXTRA[kind], (p, F))
    drawn = {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    if kind == "jumprelu":
        drawn["threshold"] = abs(drawn["threshold"])
    if kind == "gated":
        drawn["b_enc"] = jnp.zeros((p, F))
    config = DictionaryConfig(kind=kind, layers=layers, stream=stream, k=3 if kind == "topk" else 0)
    return Dictionary(config, **drawn)


@pytest.mark.parametrize("kind", EXTRA)
def test_written_and_read_is_the_same_to_the_bit(tmp_path, equal_trees, kind):
    stack = random_stack(kind)
    folders = save_dictionary(tmp_path, stack, {"model_name": "m"})
    assert [folder.name for folder in folders] == ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    loaded = load_dictionaries(tmp_path)
    assert loaded.config == stack.config
    assert equal_trees(loaded, stack)
    assert json.loads((folders[0] / "cfg.json").read_text())["metadata"]["model_name"] == "m"


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_16_bit_storage_keeps_vectors_whole(tmp_path, storage):
    stack = random_stack()
    folder = save_dictionary(tmp_path, stack, storage=storage)[0]
    stored = load_file(folder / "sae_weights.safetensors")
    assert {n: a.dtype.name for n, a in stored.items()} == {
        "W_enc": storage, "W_dec": storage, "b_enc": "float32", "b_dec": "float32", "threshold": "float32",
    }  # fmt: skip
    loaded = load_dictionaries(tmp_path)
    assert loaded.W_enc[...].dtype == jnp.float32
    np.testing.assert_array_equal(loaded.W_enc[...], stack.W_enc[...].astype(storage).astype(jnp.float32))
    np.testing.assert_array_equal(loaded.threshold[...], stack.threshold[...])


def test_encoder_bias_of_a_gated_dictionary_finds_its_place(tmp_path):
    stack = random_stack("gated")
    stack.b_enc[...] = jnp.full((2, F), 0.3)
    save_dictionary(tmp_path, stack)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(50, D)), jnp.float32)
    np.testing.assert_allclose(
        take(load_dictionaries(tmp_path), 1).encode(x), take(stack, 1).encode(x), atol=1e-5, rtol=1e-5
    )


def test_storage_in_memory(tmp_path):
    save_dictionary(tmp_path, random_stack())
    assert load_dictionaries(tmp_path, storage="bfloat16").W_dec[...].dtype == jnp.bfloat16


class Tokenizer:
    bos_id = 1


@pytest.mark.parametrize("trained", [True, False, None])
@pytest.mark.parametrize("runs", [True, False])
def test_another_way_with_bos_than_a_dictionary_was_trained_with_is_a_warning(tmp_path, model_dir, trained, runs):
    save_dictionary(tmp_path / "saes", random_stack(), {} if trained is None else {"prepend_bos": trained})
    model = dataclasses.replace(load_model(model_dir), tokenizer=Tokenizer(), prepend_bos=runs)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        load_dictionaries(tmp_path / "saes", for_model=model)
    told = [str(w.message) for w in found]
    assert len(told) == (trained is not None and trained != runs)
    if told:
        yes = "yes" if trained else "no"
        assert f"--bos={yes} (prepend_bos={trained})" in told[0]
        assert "\n" not in told[0]


def test_layer_comes_from_the_configuration_and_not_from_the_name(tmp_path):
    stack = random_stack(layers=(4, 9))
    for name, folder in zip(("zzz", "deep/aaa"), save_dictionary(tmp_path / "in", stack), strict=True):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        folder.rename(tmp_path / "out" / name)
    loaded = load_dictionaries(tmp_path / "out")
    assert loaded.config.layers == (4, 9)
    np.testing.assert_array_equal(loaded.W_enc[...], stack.W_enc[...])


def test_chosen_layers_and_a_single_folder(tmp_path):
    stack = random_stack(layers=(2, 5, 7))
    folders = save_dictionary(tmp_path, stack)
    assert load_dictionaries(tmp_path, layers=[7, 2]).config.layers == (2, 7)
    single = load_dictionaries(folders[1])
    assert single.config.layers == (5,)
    np.testing.assert_array_equal(single.W_dec[...], stack.W_dec[...][1:2])


def test_weights_of_other_layers_are_not_opened(tmp_path):
    folders = save_dictionary(tmp_path, random_stack())
    (folders[1] / "sae_weights.safetensors").write_bytes(b"damaged")
    load_dictionaries(tmp_path, layers=[0])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_dictionaries(tmp_path)


def test_one_unstacked_dictionary_is_written(tmp_path):
    stack = random_stack(layers=(3,))
    save_dictionary(tmp_path, take(stack, 0))
    np.testing.assert_array_equal(load_dictionaries(tmp_path).W_enc[...], stack.W_enc[...])


def test_only_the_weights_asked_for_are_fetched(tmp_path, monkeypatch):
    """A hub that holds three layers and moves its branch between two fetches."""
    stack = random_stack(layers=(2, 5, 7))
    save_dictionary(tmp_path / "remote", stack)
    fetches = []

    def download(repository, *, revision, allow_patterns, local_files_only):
        if local_files_only:
            raise FileNotFoundError(repository)
        fetches.append(allow_patterns)
        snapshot = tmp_path / f"snapshot{len(fetches)}"
        for file in (tmp_path / "remote").rglob("*.*"):
            name = file.relative_to(tmp_path / "remote")
            if file.is_file() and any(fnmatch(str(name), pattern) for pattern in allow_patterns):
                (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, snapshot / name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    loaded = load_dictionaries("org/saes", layers=[7, 2])
    assert loaded.config.layers == (2, 7)
    np.testing.assert_array_equal(loaded.W_enc[...], stack.W_enc[...][jnp.array([0, 2])])
    assert [sum("weights" in pattern for pattern in patterns) for patterns in fetches] == [0, 2]


def test_bundled_dictionaries_lie_beside_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "BUNDLED", tmp_path)
    save_dictionary(tmp_path / "small" / "saes", random_stack())
    assert load_dictionaries("bundled:small").config.layers == (0, 1)


class TestRefused:
    def test_missing_layer(self, tmp_path):
        save_dictionary(tmp_path, random_stack(layers=(2, 5)))
        with pytest.raises(ValueError, match=r"no dictionary for 3, 4; it has \[2, 5\]"):
            load_dictionaries(tmp_path, layers=range(2, 6))

    @pytest.mark.parametrize("layers", [[], [2, 2], [2.5], [True], ["2"]])
    def test_layers_that_make_no_choice(self, tmp_path, layers):
        save_dictionary(tmp_path, random_stack(layers=(2, 5)))
        with pytest.raises(ValueError, match="layers: got"):
            load_dictionaries(tmp_path, layers=layers)

    def test_two_dictionaries_of_one_layer(self, tmp_path):
        save_dictionary(tmp_path / "wide", random_stack())
        save_dictionary(tmp_path / "narrow", random_stack())
        with pytest.raises(ValueError, match=r"several dictionaries for layer 0 \(narrow/.*, wide/"):
            load_dictionaries(tmp_path)

    def test_no_dictionary(self, tmp_path):
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(FileNotFoundError, match=r"no dictionary in it .*\(saelens, .*it holds notes\.txt"):
            load_dictionaries(tmp_path)

    def test_another_width(self, tmp_path, model_dir):
        save_dictionary(tmp_path / "saes", random_stack(d=6), {"model_name": "other/model"})
        with pytest.raises(ValueError, match=r"d_in is 6 \(trained on other/model\), but resid_post of .* width 8"):
            load_dictionaries(tmp_path / "saes", for_model=load_model(model_dir))

    def test_another_depth(self, tmp_path, model_dir):
        save_dictionary(tmp_path / "saes", random_stack(layers=(0, 5)))
        with pytest.raises(ValueError, match=r"belongs to layer 5, but .* has layers 0\.\.1"):
            load_dictionaries(tmp_path / "saes", for_model=load_model(model_dir))
        load_dictionaries(tmp_path / "saes", layers=[0], for_model=load_model(model_dir))

    def test_neuron_dictionaries_have_the_width_of_the_mlp(self, tmp_path, model_dir):
        save_dictionary(tmp_path / "saes", random_stack(d=12, stream="mlp_act"))
        model = load_model(model_dir)
        found = load_dictionaries(tmp_path / "saes", for_model=model)
        assert (found.config.stream, found.W_enc.shape[1]) == ("mlp_act", model.config.d_ff)

    def test_different_shapes_do_not_stack(self, tmp_path):
        save_dictionary(tmp_path / "a", random_stack(layers=(0,)))
        save_dictionary(tmp_path / "b", random_stack(layers=(1,), d=6))
        with pytest.raises(ValueError, match=r"layers \(0,\) and \(1,\) differ"):
            load_dictionaries(tmp_path)

    def test_not_overwritten_silently(self, tmp_path):
        save_dictionary(tmp_path, random_stack())
        with pytest.raises(FileExistsError, match=r"already there.*overwrite=True"):
            save_dictionary(tmp_path, random_stack())
        save_dictionary(tmp_path, random_stack(), overwrite=True)

    def test_values_too_large_for_the_file(self, tmp_path):
        stack = random_stack()
        stack.W_dec[...] = stack.W_dec[...] * 1e6
        with pytest.raises(ValueError, match="tensor W_dec: has values that are not finite in float16"):
            save_dictionary(tmp_path, stack, storage="float16")

    def test_stream_without_a_name_there(self, tmp_path):
        with pytest.raises(ValueError, match="stream 'attn_in' has no SAELens name"):
            save_dictionary(tmp_path, random_stack(stream="attn_in"))


WRITERS = {
    "saelens": (saelens_write, lambda place, stack, **more: save_dictionary(place, stack, **more)),
    "circuit_tracer": (
        circuit_tracer_write,
        lambda place, stack, **more: circuit_tracer_write.save_circuit_tracer(place, stack, "a model", **more),
    ),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("there", [False, True])
def test_a_set_is_written_whole_or_not_at_all(tmp_path, monkeypatch, name, there):
    module, write = WRITERS[name]
    stack, written = random_stack(layers=(0, 1, 2)), []
    if there:
        write(tmp_path / "out", stack)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(path, tensors, metadata=None):
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(path))
        written.append(write_tensors(path, tensors, metadata))

    monkeypatch.setattr(module, "write_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "out", random_stack(layers=(0, 1, 2)), overwrite=there)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * there


def test_errors_of_the_disk_are_those_of_python(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        write_tensors(tmp_path / "nowhere" / "file", {"a": np.zeros(2)})
