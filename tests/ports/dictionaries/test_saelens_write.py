"""What is written as SAELens is read back as it was; what that format has no form for is refused."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.ports.dictionaries.saelens import open_source
from causeway.ports.dictionaries.saelens_write import write_folder

D, F, OUT = 6, 10, 5
VECTORS = {"jumprelu": ("threshold",), "gated": ("log_scale", "gate_bias", "magnitude_bias")}


def make(kind: str, skip: bool = False, **changes) -> Dictionary:
    """Random, b_dec far from zero."""
    rng, out = np.random.default_rng(0), OUT if "write_stream" in changes else D
    shapes = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, out), "b_dec": (out,)}
    shapes |= dict.fromkeys(VECTORS.get(kind, ()), (F,)) | ({"W_skip": (D, out)} if skip else {})
    arrays = {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    if "threshold" in arrays:
        arrays["threshold"] = abs(arrays["threshold"])
    if kind in ("gated", "matching_pursuit"):
        arrays["b_enc"] = jnp.zeros(F)
    if kind == "matching_pursuit":
        arrays["W_dec"] /= jnp.linalg.norm(arrays["W_dec"], axis=1, keepdims=True)
        arrays["W_enc"] = arrays["W_dec"].T
    return Dictionary(DictionaryConfig(kind, (3,), **changes), **arrays)


def read_folder(folder, dtype) -> Dictionary:
    """All of a folder's dictionary in memory."""
    source = open_source(folder / "cfg.json")
    return Dictionary(source.config, **{n: jnp.asarray(a.whole().astype(dtype)) for n, a in source.arrays.items()})


MADE = [
    ("relu", {}, "standard"),
    ("jumprelu", {"input_norm": "layer_norm"}, "jumprelu"),
    ("gated", {"input_norm": "token_norm"}, "gated"),
    ("topk", {"k": 3}, "topk"),
    ("abstopk", {"k": 3}, "abstopk"),
    ("matching_pursuit", {"k": 4, "residual_threshold": 0.2, "stop_on_duplicate": True}, "matching_pursuit"),
    ("relu", {"stream": "head_out"}, "standard"),
    ("relu", {"stream": "mlp_in", "write_stream": "mlp_out"}, "transcoder"),
    ("relu", {"stream": "mlp_norm", "write_stream": "mlp_out", "skip": True}, "skip_transcoder"),
    ("jumprelu", {"stream": "resid_mid", "write_stream": "mlp_out"}, "jumprelu_transcoder"),
    (
        "jumprelu",
        {"stream": "mlp_in", "write_stream": "mlp_out", "skip": True, "input_norm": "layer_norm"},
        "jumprelu_skip_transcoder",
    ),
]


@pytest.mark.parametrize(("kind", "changes", "architecture"), MADE)
def test_written_and_read_is_the_same_to_the_bit(tmp_path, equal_trees, kind, changes, architecture):
    dictionary = make(kind, **changes)
    write_folder(tmp_path / "a", dictionary, 3, {"model_name": "m"}, "float32")
    content = json.loads((tmp_path / "a" / "cfg.json").read_text())
    assert (content["architecture"], content["metadata"]["model_name"]) == (architecture, "m")
    again = read_folder(tmp_path / "a", jnp.dtype("float32"))
    assert again.config == dictionary.config
    assert equal_trees(again, dictionary)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(20, D)), jnp.float32)
    np.testing.assert_array_equal(again.encode(x), dictionary.encode(x))
    np.testing.assert_array_equal(again.reconstruct(x), dictionary.reconstruct(x))


def test_a_skip_is_stored_the_other_way_around(tmp_path):
    dictionary = make("relu", skip=True, stream="mlp_in", write_stream="mlp_out")
    write_folder(tmp_path, dictionary, 3, {}, "float32")
    tensors = load_file(tmp_path / "sae_weights.safetensors")
    np.testing.assert_array_equal(tensors["W_skip"], np.asarray(dictionary.W_skip[...]).T)
    metadata = json.loads((tmp_path / "cfg.json").read_text())["metadata"]
    assert (metadata["hook_name"], metadata["hook_name_out"]) == ("blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out")


def test_a_gate_that_reads_a_biased_encoder_keeps_its_values(tmp_path):
    dictionary = make("gated")
    dictionary.b_enc[...] = jnp.linspace(-1, 1, F)
    write_folder(tmp_path, dictionary, 3, {}, "float32")
    x = jnp.asarray(np.random.default_rng(1).normal(size=(50, D)), jnp.float32)
    got = read_folder(tmp_path, jnp.dtype("float32")).encode(x)
    np.testing.assert_allclose(got, dictionary.encode(x), atol=1e-5)


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_16_bit_storage_keeps_vectors_whole(tmp_path, storage):
    write_folder(tmp_path, make("jumprelu", skip=True, stream="mlp_in", write_stream="mlp_out"), 3, {}, storage)
    stored = {name: array.dtype.name for name, array in load_file(tmp_path / "sae_weights.safetensors").items()}
    vectors = dict.fromkeys(("b_enc", "b_dec", "threshold"), "float32")
    assert stored == dict.fromkeys(("W_enc", "W_dec", "W_skip"), storage) | vectors


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("topk_signed", {"k": 3}, "SAELens has no topk_signed SAE without a skip"),
        ("groupmax", {"k": 2}, "SAELens has no groupmax SAE"),
        ("relu", {"skip": True}, "SAELens has no relu SAE with a skip connection"),
        ("topk", {"k": 3, "stream": "mlp_in", "write_stream": "mlp_out"}, "has no topk transcoder"),
        ("relu", {"stream": "attn_in"}, "stream 'attn_in' has no SAELens name"),
    ],
)
def test_what_the_format_has_no_form_for_is_refused(tmp_path, kind, changes, message):
    with pytest.raises(ValueError, match=message):
        write_folder(tmp_path / "a", make(kind, **changes), 3, {}, "float32")
    assert not (tmp_path / "a").exists()


def test_negative_thresholds_are_refused(tmp_path):
    dictionary = make("jumprelu")
    dictionary.threshold[...] = dictionary.threshold[...].at[4].set(-0.5)
    with pytest.raises(ValueError, match="1 thresholds are negative, which SAELens cuts at 0"):
        write_folder(tmp_path / "a", dictionary, 3, {}, "float32")
    assert not (tmp_path / "a").exists()


def test_a_folder_written_over_is_never_half_of_each(tmp_path):
    write_folder(tmp_path, make("relu"), 3, {}, "float32")
    bad = make("relu")
    bad.W_enc[...] = bad.W_enc[...].at[0, 0].set(jnp.inf)
    before = (tmp_path / "cfg.json").read_text()
    with pytest.raises(ValueError, match="W_enc: has values that are not finite"):
        write_folder(tmp_path, bad, 3, {}, "float32")
    assert (tmp_path / "cfg.json").read_text() == before
    write_folder(tmp_path, make("topk", k=2), 3, {}, "float32")
    assert open_source(tmp_path / "cfg.json").config == dataclasses.replace(make("topk", k=2).config, layers=(3,))
