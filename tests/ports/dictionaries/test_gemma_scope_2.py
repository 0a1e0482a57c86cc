"""Gemma Scope 2 (config.json, params.safetensors) against its own definition, written out in numpy float64."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.ports.dictionaries.gemma_scope_2 import find, layer_place, open_source, weights
from tests.ports.dictionary_files import cross_layer_of, dictionary_of, save_tensors

D, F, OUT, L = 5, 8, 7, 3
CONFIG = {
    "hf_hook_point_in": "model.layers.17.output", "hf_hook_point_out": "model.layers.17.output", "width": F,
    "model_name": "google/gemma-3-1b-pt", "architecture": "jump_relu", "l0": 20, "affine_connection": False,
    "type": "sae",
}  # fmt: skip
TRANSCODER = {
    "hf_hook_point_in": "model.layers.5.pre_feedforward_layernorm.output",
    "hf_hook_point_out": "model.layers.5.post_feedforward_layernorm.output", "type": "transcoder",
}  # fmt: skip
CLT = TRANSCODER | {"type": "clt", "width": L * F}


def tensors_of(seed=0, affine=False, layers=(), out=D):
    rng = np.random.default_rng(seed)
    shapes = {"w_enc": (D, F), "b_enc": (F,), "w_dec": (F, *layers, out), "b_dec": (out,), "threshold": (F,)}
    shapes |= {"affine_skip_connection": (D, out)} if affine else {}
    return {name: np.abs(v) if name == "threshold" else v for name, v in
            ((name, rng.normal(size=shape)) for name, shape in shapes.items())}  # fmt: skip


def write(folder, changes=None, tensors=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | (changes or {})))
    save_tensors(folder / "params.safetensors", tensors_of() if tensors is None else tensors)
    return folder / "config.json"


def write_clt(folder, changes=None, affine=False):
    """All layers' files and their tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | CLT | {"affine_connection": affine} | (changes or {})))
    layers = [tensors_of(layer, affine, (L,), OUT) for layer in range(L)]
    for layer, tensors in enumerate(layers):
        save_tensors(folder / f"params_layer_{layer}.safetensors", tensors)
    return layers


def encode(t, x):
    p = x @ t["w_enc"] + t["b_enc"]
    return p * (p > t["threshold"])


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("changes", [{}, TRANSCODER], ids=["sae", "transcoder"])
def test_values_and_reconstructions(tmp_path, changes, affine):
    tensors = tensors_of(affine=affine, out=OUT if changes else D)
    source = open_source(write(tmp_path, changes | {"affine_connection": affine}, tensors))
    x = np.random.default_rng(1).normal(size=(200, D))
    features = encode(tensors, x)
    reconstruction = features @ tensors["w_dec"] + tensors["b_dec"]
    reconstruction = reconstruction + x @ tensors["affine_skip_connection"] if affine else reconstruction
    assert 0.02 < (features != 0).mean() < 0.98
    with jax.enable_x64(True):
        dictionary = dictionary_of(source, np.float64)
        ours = dictionary.encode(jnp.asarray(x))
        np.testing.assert_allclose(ours, features, atol=1e-9)
        np.testing.assert_allclose(dictionary.decode(ours, jnp.asarray(x)), reconstruction, atol=1e-9)


@pytest.mark.parametrize("affine", [False, True])
def test_cross_layer_transcoder(tmp_path, affine):
    """Layer l's decoder is indexed by the layer written to; what lies below l is not its own."""
    layers = write_clt(tmp_path, affine=affine)
    places = find(tmp_path)
    assert places == {layer: layer_place(tmp_path / "config.json", layer) for layer in range(L)}
    sources = [open_source(place) for place in places.values()]
    assert [source.arrays["W_dec"].shape for source in sources] == [(F, L - layer, OUT) for layer in range(L)]
    x = np.random.default_rng(1).normal(size=(L, 50, D))
    features = np.stack([encode(t, row) for t, row in zip(layers, x, strict=True)])
    expected = np.stack([t["b_dec"] + sum(features[n] @ layers[n]["w_dec"][:, m] for n in range(m + 1))
                         + (x[m] @ t["affine_skip_connection"] if affine else 0)
                         for m, t in enumerate(layers)])  # fmt: skip
    with jax.enable_x64(True):
        transcoder = cross_layer_of(sources, np.float64)
        ours = transcoder.encode_all(jnp.asarray(x))
        np.testing.assert_allclose(ours, features, atol=1e-9)
        np.testing.assert_allclose(transcoder.decode(ours, jnp.asarray(x)), expected, atol=1e-9)
    assert transcoder.config.output_stream == "mlp_out"


@pytest.mark.parametrize(
    ("hook_in", "hook_out", "streams"),
    [
        ("model.layers.17.output", "model.layers.17.output", (17, "resid_post", "resid_post")),
        ("model.language_model.layers.9.output", None, (9, "resid_post", "resid_post")),
        ("model.layers.11.self_attn.o_proj.input", None, (11, "head_out", "head_out")),
        ("model.layers.4.post_feedforward_layernorm.output", None, (4, "mlp_out", "mlp_out")),
        (TRANSCODER["hf_hook_point_in"], TRANSCODER["hf_hook_point_out"], (5, "mlp_in", "mlp_out")),
    ],
)
def test_place_in_the_network(tmp_path, hook_in, hook_out, streams):
    source = open_source(write(tmp_path, {"hf_hook_point_in": hook_in, "hf_hook_point_out": hook_out}))
    assert (source.layer, source.config.stream, source.config.output_stream) == streams


@pytest.mark.parametrize("name", ["gemma-v3-1b-pt", "google/gemma-3-1b-pt", "gemma-3-1b-pt"])
def test_model_name_is_the_hubs(tmp_path, name):
    source = open_source(write(tmp_path, {"model_name": name}))
    assert (source.model_name, source.card) == ("google/gemma-3-1b-pt", {"l0": 20})


def test_hooks_of_a_cross_layer_transcoder_may_be_a_list(tmp_path):
    hooks = {
        f"hf_hook_point_{side}": [f"model.layers.{n}.{part}_feedforward_layernorm.output" for n in range(L)]
        for side, part in (("in", "pre"), ("out", "post"))
    }
    write_clt(tmp_path, hooks)
    source = open_source(layer_place(tmp_path / "config.json", 1))
    assert (source.layer, source.config.stream, source.config.output_stream) == (1, "mlp_in", "mlp_out")


def test_find_and_weights(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").write_text('{"model_type": "gemma3"}')
    place = write(tmp_path / "resid_post/layer_17_width_16k_l0_small")
    assert find(tmp_path) == {17: place}
    assert weights(place) == ["params.safetensors"]
    assert weights(layer_place(place, 4)) == ["params_layer_4.safetensors"]
    write(tmp_path / "resid_post/layer_17_width_16k_l0_big")
    with pytest.raises(ValueError, match="several dictionaries for layer 17"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"type": "crosscoder"},
            "type 'crosscoder' of architecture 'jump_relu' is not read; read are sae, transcoder, clt",
        ),
        ({"architecture": "topk"}, "architecture 'topk' is not read"),
        (
            {"hf_hook_point_in": "model.layers.17.router.output"},
            "hook 'model.layers.17.router.output': site: cannot read",
        ),
        ({"hf_hook_point_in": ["model.layers.17.output"]}, "cannot read the hook"),
        ({"hf_hook_point_out": "model.layers.18.output"}, "reads layer 17 and writes layer 18"),
        ({"width": F + 1}, r"params.safetensors: has 8 features; .*config\.json says 9"),
        ({"affine_connection": True}, "missing: affine_skip_connection"),
        ({"type": "clt"}, "says type 'clt', whose weights have other names"),
        ({"new_switch": 1}, "unknown fields new_switch=1"),
    ],
)
def test_refused_configuration(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("w_dec"), "missing: w_dec"),
        (lambda t: t.update(affine_skip_connection=np.zeros((D, D))), "no place in a Gemma Scope 2 sae: affine_skip"),
        (
            lambda t: t.update(w_dec=np.zeros((F, L, D))),
            r"w_dec has shape \(8, 3, 5\); a dictionary of one layer has 2",
        ),
    ],
)
def test_refused_tensors(tmp_path, change, message):
    tensors = tensors_of()
    change(tensors)
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, tensors=tensors))


def test_layers_beyond_the_decoder_and_absent_files(tmp_path):
    layers = write_clt(tmp_path)
    save_tensors(tmp_path / "params_layer_7.safetensors", layers[0])
    with pytest.raises(ValueError, match=r"w_dec has shape \(8, 3, 7\); layer 7 needs"):
        open_source(tmp_path / "params_layer_7.safetensors")
    with pytest.raises(FileNotFoundError, match=r"params_layer_9\.safetensors: no such file"):
        open_source(tmp_path / "params_layer_9.safetensors")
