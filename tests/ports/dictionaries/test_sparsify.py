"""sparsify's dictionaries against the library's definition, written out in numpy float64."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from causeway.ports.dictionaries.sparsify import find, open_source, weights

D, F, K = 6, 12, 3
CONFIG = {
    "activation": "topk", "expansion_factor": 2, "normalize_decoder": True, "num_latents": 0, "k": K,
    "multi_topk": False, "skip_connection": False, "transcode": False, "d_in": D,
}  # fmt: skip


def write(root, hookpoint="layers.10", tensors=None, **changes):
    config = {n: v for n, v in (CONFIG | changes).items() if v is not None}
    rng = np.random.default_rng(0)
    shapes = {"encoder.weight": (F, D), "encoder.bias": (F,), "W_dec": (F, D), "b_dec": (D,)}
    shapes |= {"W_skip": (D, D)} if config.get("skip_connection") else {}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} | (tensors or {})
    folder = root / hookpoint
    folder.mkdir(parents=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file({n: a for n, a in arrays.items() if a is not None}, folder / "sae.safetensors")
    return folder / "cfg.json"


def published(place, x):
    config = json.loads(place.read_text())
    t = {n: a.astype(np.float64) for n, a in load_file(place.parent / "sae.safetensors").items()}
    inner = x if config.get("transcode") else x - t["b_dec"]
    p = inner @ t["encoder.weight"].T + t["encoder.bias"]
    f, k = np.zeros_like(p), config["k"]
    if config.get("signed"):
        ids = np.argsort(-np.abs(p), axis=-1)[:, :k]
    else:
        p = np.maximum(p, 0)
        ids = np.argsort(-p, axis=-1)[:, :k]
        if config.get("activation") == "groupmax":
            ids = p.reshape(len(x), k, F // k).argmax(-1) + np.arange(0, F, F // k)
    np.put_along_axis(f, ids, np.take_along_axis(p, ids, -1), -1)
    return f, f @ t["W_dec"] + t["b_dec"] + (x @ t["W_skip"].T if "W_skip" in t else 0)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "topk"),
        ({"activation": None, "num_latents": F, "expansion_factor": 32, "multi_topk": True}, "topk"),
        ({"activation": "groupmax"}, "groupmax"),
        ({"activation": None, "signed": True}, "abstopk"),
        ({"skip_connection": True}, "topk"),
        ({"transcode": True, "skip_connection": True}, "topk"),
        ({"transcode": True, "activation": "groupmax"}, "groupmax"),
    ],
)
def test_the_published_definition(tmp_path, values_of, changes, kind):
    place = write(tmp_path, "layers.4.mlp", **changes)
    source = open_source(place)
    x = np.random.default_rng(1).normal(size=(60, D))
    for ours, theirs in zip(values_of(source, x), published(place, x), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    assert (source.config.kind, source.config.k, source.layer) == (kind, K, 4)


@pytest.mark.parametrize(
    ("family", "hookpoint", "transcode", "layer", "read", "written"),
    [
        ("llama", "layers.10", False, 10, "resid_post", "resid_post"),
        ("llama", "layers.10.mlp", False, 10, "mlp_out", "mlp_out"),
        ("gemma2", "layers.10.mlp", False, 10, "mlp_raw", "mlp_raw"),
        (None, "layers.10.mlp", False, 10, "mlp_raw", "mlp_raw"),
        ("qwen3", "layers.10.mlp", True, 10, "mlp_in", "mlp_out"),
        ("gemma2", "layers.10.mlp", True, 10, "mlp_in", "mlp_raw"),
        ("llama", "layers.10.mlp.down_proj", True, 10, "mlp_act", "mlp_out"),
        ("gpt2", "h.3.attn", False, 3, "attn_out", "attn_out"),
        ("gpt_neox", "layers.3.attention", True, 3, "attn_in", "attn_out"),
        (None, "layers.2", True, 2, "resid_pre", "resid_post"),
        ("llama", "embed_tokens", False, 0, "resid_pre", "resid_pre"),
    ],
)
def test_hookpoints(tmp_path, family_names, family, hookpoint, transcode, layer, read, written):
    place = write(tmp_path, hookpoint, transcode=transcode)
    config = open_source(place, family_names(family)).config
    assert (config.layers, config.stream, config.output_stream) == ((layer,), read, written)
    assert config.is_transcoder == transcode
    # A folder of hookpoints, or one of them: a folder that is named keeps its name when the path is relative.
    assert find(tmp_path) == find(tmp_path / hookpoint) == {layer: place}
    assert weights(place) == ["sae.safetensors"]


def test_a_repository(tmp_path):
    places = {layer: write(tmp_path, f"layers.{layer}") for layer in (0, 1, 12)}
    write(tmp_path, "embed_tokens")
    (tmp_path / "config.json").write_text(json.dumps({"model": "EleutherAI/pythia-160m", "sae": {}}))
    assert find(tmp_path) == places
    source = open_source(places[12])
    assert (source.model_name, source.card) == ("EleutherAI/pythia-160m", {"l0": K})
    write(tmp_path, "layers.12.mlp")
    with pytest.raises(ValueError, match=r"several dictionaries for layer 12 \(layers\.12/cfg\.json, layers\.12\.mlp/"):
        find(tmp_path)


def test_saelens_folders_are_not_of_this_format(tmp_path):
    (tmp_path / "blocks.0").mkdir()
    (tmp_path / "blocks.0" / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": F, "expansion_factor": 2}))
    assert find(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "relu"}, "activation 'relu' is not read"),
        ({"k": None}, "field k is missing"),
        ({"k": F + 1}, "k = 13 of 12 features"),
        ({"activation": "groupmax", "k": 5}, "groupmax k equal groups"),
        ({"d_in": None}, "field d_in is missing"),
        ({"brand_new": 1}, "unknown fields brand_new=1"),
        ({"num_latents": F + 2}, r"encoder.bias has shape \(12,\)|encoder.weight has shape"),
        ({"tensors": {"W_dec": np.zeros((D, F), np.float32)}}, r"W_dec has shape \(6, 12\).* needs \(12, 6\)"),
        ({"tensors": {"W_skip": np.zeros((D, D), np.float32)}}, "no place in the dictionary of .*: W_skip"),
        ({"tensors": {"b_dec": None}}, "missing: b_dec"),
    ],
)
def test_refused(tmp_path, changes, message):
    place = write(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        open_source(place)


def test_a_folder_that_is_no_hookpoint(tmp_path):
    place = write(tmp_path, "my_sae")
    for read in (lambda: find(tmp_path), lambda: open_source(place)):
        with pytest.raises(ValueError, match=r"lies in 'my_sae', which is not a hookpoint; .* call it layers\.N"):
            read()


def test_a_transcoder_of_the_embedding(tmp_path):
    with pytest.raises(ValueError, match=r"cfg\.json: a transcoder of embed_tokens, which reads tokens"):
        open_source(write(tmp_path, "embed_tokens", transcode=True))


def test_weights_that_are_not_there(tmp_path):
    place = write(tmp_path)
    (place.parent / "sae.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"sae\.safetensors: no such file; download it beside cfg\.json"):
        open_source(place)
