"""dictionary_learning's classes against their own forward passes, written out in numpy float64."""

import json

import numpy as np
import pytest

from causeway.ports.dictionaries.dictionary_learning import find, open_source, weights

torch = pytest.importorskip("torch")
D, F, K = 6, 10, 3
LINEAR = {"encoder.weight": (F, D), "encoder.bias": (F,), "decoder.weight": (D, F)}
PLAIN = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}
TENSORS = {
    "AutoEncoder": LINEAR | {"bias": (D,)},
    "AutoEncoderNew": LINEAR | {"decoder.bias": (D,)},
    "GatedAutoEncoder": {
        "encoder.weight": (F, D), "decoder.weight": (D, F), "decoder_bias": (D,), "r_mag": (F,), "gate_bias": (F,),
        "mag_bias": (F,),
    },
    "AutoEncoderTopK": LINEAR | {"b_dec": (D,), "threshold": ()},
    "BatchTopKSAE": LINEAR | {"b_dec": (D,), "threshold": ()},
    "MatryoshkaBatchTopKSAE": PLAIN | {"threshold": ()},
    "JumpReluAutoEncoder": PLAIN | {"threshold": (F,)},
}  # fmt: skip
KINDS = dict(zip(TENSORS, ("relu", "relu", "gated", "topk", "jumprelu", "jumprelu", "jumprelu"), strict=True))


def state(name, **changes):
    rng = np.random.default_rng(0)
    arrays = {n: torch.tensor(rng.normal(size=shape), dtype=torch.float32) for n, shape in TENSORS[name].items()}
    if "threshold" in arrays:
        arrays["threshold"] = arrays["threshold"].abs() + 0.1
    # The library saves an encoder made by transposing the decoder with the strides of that.
    if "encoder.weight" in arrays:
        arrays["encoder.weight"] = arrays["encoder.weight"].T.contiguous().T
    if "TopK" in name:
        arrays["k"] = torch.tensor(K, dtype=torch.int)
    if name.startswith("Matryoshka"):
        arrays["group_sizes"] = torch.tensor([4, 6])
    return arrays | changes


def write(folder, name, tensors=None, buffer=None, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    trainer = {
        "dict_class": name, "trainer_class": "Any", "activation_dim": D, "dict_size": F, "lr": 1e-3, "layer": 8,
        "lm_name": "EleutherAI/pythia-160m", "submodule_name": "resid_post_layer_8",
    } | ({"k": K} if "TopK" in name else {}) | changes  # fmt: skip
    config = {
        "trainer": {n: v for n, v in trainer.items() if v is not None},
        "buffer": {"ctx_len": 128} | (buffer or {}),
    }
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({n: t for n, t in (state(name) | (tensors or {})).items() if t is not None}, folder / "ae.pt")
    return folder / "config.json"


def published(name, tensors, x):
    t = {n: a.double().numpy() for n, a in tensors.items()}
    if name == "GatedAutoEncoder":
        p = (x - t["decoder_bias"]) @ t["encoder.weight"].T
        f = (p + t["gate_bias"] > 0) * np.maximum(np.exp(t["r_mag"]) * p + t["mag_bias"], 0)
        return f, f @ t["decoder.weight"].T + t["decoder_bias"]
    if name.startswith("AutoEncoder") and "TopK" not in name:
        centre, after = (t["bias"], t["bias"]) if "bias" in t else (0, t["decoder.bias"])
        f = np.maximum((x - centre) @ t["encoder.weight"].T + t["encoder.bias"], 0)
        return f, f @ t["decoder.weight"].T + after
    W_enc, W_dec = t.get("W_enc"), t.get("W_dec")
    W_enc, W_dec = (W_enc, W_dec) if W_enc is not None else (t["encoder.weight"].T, t["decoder.weight"].T)
    bias = t.get("b_enc", t.get("encoder.bias"))
    p = (x - (0 if name == "JumpReluAutoEncoder" else t["b_dec"])) @ W_enc + bias
    f = np.maximum(p, 0)
    if name == "AutoEncoderTopK":
        kth = np.sort(f, axis=-1)[:, -K][:, None]
        f = np.where(f >= kth, f, 0)
    elif name == "JumpReluAutoEncoder":
        f = np.maximum(p * (p > t["threshold"]), 0)
    else:
        f = f * (f > t["threshold"])
    return f, f @ W_dec + t["b_dec"]


@pytest.mark.parametrize("name", TENSORS)
def test_the_published_definition(tmp_path, values_of, name):
    source = open_source(write(tmp_path, name))
    x = 2 * np.random.default_rng(1).normal(size=(80, D))
    features, reconstruction = published(name, state(name), x)
    assert 0.02 < (features > 0).mean() < 0.98
    for ours, theirs in zip(values_of(source, x), (features, reconstruction), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    config = source.config
    assert (config.kind, config.k) == (KINDS[name], K if name == "AutoEncoderTopK" else 0)
    assert (config.layers, config.stream, source.model_name) == ((8,), "resid_post", "EleutherAI/pythia-160m")
    assert source.card == {"context_size": 128} | ({"l0": K} if "TopK" in name else {})


@pytest.mark.parametrize("name", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"])
@pytest.mark.parametrize("threshold", [0.5, 0.0, -1.0])
def test_at_the_threshold(tmp_path, values_of, name, threshold):
    """Strictly above it; and a threshold below 0 leaves the ReLU."""
    bias = torch.zeros(F)
    bias[:4] = torch.tensor([0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.0, -0.5])
    shape = (F,) if name == "JumpReluAutoEncoder" else ()
    tensors = {"threshold": torch.full(shape, threshold), "b_dec": torch.zeros(D)}
    tensors["encoder.bias" if "b_enc" not in TENSORS[name] else "b_enc"] = bias
    values, _ = values_of(open_source(write(tmp_path, name, tensors)), np.zeros((1, D)))
    cut = max(threshold, 0)
    np.testing.assert_array_equal(values[0], np.where(bias.numpy() > cut, bias.double().numpy(), 0))
    np.testing.assert_array_equal(values, published(name, state(name, **tensors), np.zeros((1, D)))[0])


@pytest.mark.parametrize(
    ("family", "name", "layer", "stream"),
    [
        (None, "resid_post_layer_8", 8, "resid_post"),
        (None, "resid_post", 8, "resid_post"),
        (None, None, 8, "resid_post"),
        ("llama", "mlp_out_layer_8", 8, "mlp_out"),
        ("gemma2", "mlp_out_layer_8", 8, "mlp_raw"),
        ("gpt_neox", "attn_out", 8, "attn_out"),
        ("gemma2", "attn_layer_8", 8, "attn_raw"),
        (None, "mlp8", 8, "mlp_raw"),
        ("gpt_neox", "gpt_neox.layers.8", 8, "resid_post"),
        ("llama", "model.layers.8.mlp", 8, "mlp_out"),
        ("gemma2", "model.layers.8.mlp", 8, "mlp_raw"),
    ],
)
def test_places(tmp_path, family_names, family, name, layer, stream):
    config = open_source(write(tmp_path, "AutoEncoder", submodule_name=name), family_names(family)).config
    assert (config.layers, config.stream) == ((layer,), stream)


def test_folders(tmp_path):
    places = {n: write(tmp_path / f"layer_{n}" / "trainer_0", "AutoEncoder", layer=n) for n in (0, 3)}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert find(tmp_path) == places
    assert weights(places[3]) == ["ae.pt"]
    write(tmp_path / "layer_3" / "trainer_1", "AutoEncoder", layer=3)
    with pytest.raises(ValueError, match="several dictionaries for layer 3"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("AutoEncoder", {"dict_class": "CrossCoder"}, "dict_class 'CrossCoder' is not read; read are AutoEncoder,"),
        ("AutoEncoder", {"dict_size": F + 1}, r"encoder\.(weight|bias) has shape"),
        ("AutoEncoder", {"dict_size": None}, "field dict_size is missing"),
        ("AutoEncoder", {"layer": 7}, "'resid_post_layer_8' is of layer 8, but layer is 7"),
        (
            "AutoEncoder",
            {"submodule_name": "model.lm"},
            "submodule_name: site: cannot read 'model.lm'.*_layer_N",
        ),
        ("AutoEncoder", {"buffer": {"io": "in"}}, "io 'in' is not read"),
        ("AutoEncoderTopK", {"k": K + 1}, r"tensor k is 3, but .*config\.json has k = 4"),
        ("AutoEncoderTopK", {"k": None}, "field k is missing"),
        ("AutoEncoder", {"tensors": {"bias": None}}, "missing: bias"),
        ("AutoEncoder", {"tensors": {"extra": torch.zeros(1)}}, "no place in a AutoEncoder: extra"),
        ("BatchTopKSAE", {"tensors": {"threshold": torch.zeros(F)}}, r"threshold has shape \(10,\).* needs \(\)"),
    ],
)
def test_refused(tmp_path, name, changes, message):
    place = write(tmp_path, name, **changes)
    with pytest.raises(ValueError, match=message):
        open_source(place)


def test_a_buffer_of_no_fields(tmp_path):
    place = write(tmp_path, "AutoEncoder")
    place.write_text(json.dumps(json.loads(place.read_text()) | {"buffer": "none"}))
    with pytest.raises(ValueError, match=r"config\.json: field buffer is 'none'; needs dict"):
        open_source(place)


def test_weights_that_are_not_there(tmp_path):
    place = write(tmp_path, "AutoEncoder")
    (tmp_path / "ae.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"ae\.pt: no such file"):
        open_source(place)
