"""circuit-tracer's sets against their own definitions, written out in numpy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from causeway.ports.dictionaries.circuit_tracer import find, layer_place, open_source, weights
from tests.ports.dictionary_files import cross_layer_of, dictionary_of, save_tensors

D, F, OUT, L = 5, 8, 7, 3
THRESHOLD = "activation_function.threshold"
CONFIG = {
    "model_kind": "transcoder_set", "model_name": "Qwen/Qwen3-4B", "feature_input_hook": "mlp.hook_in",
    "feature_output_hook": "mlp.hook_out", "scan": "mwhanna/qwen3-4b-transcoders",
}  # fmt: skip
CROSS = CONFIG | {"model_kind": "cross_layer_transcoder", "feature_input_hook": "hook_resid_mid"}


def random(seed, shapes):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def layer_tensors(layer, threshold=None, skip=False):
    """A transcoder's tensors; the threshold is a shape."""
    shapes = {"W_enc": (F, D), "b_enc": (F,), "W_dec": (F, OUT), "b_dec": (OUT,)}
    shapes |= {"W_skip": (OUT, D)} if skip else {}
    tensors = random(layer, shapes)
    return tensors if threshold is None else tensors | {THRESHOLD: np.abs(random(layer + 9, {"t": threshold})["t"])}


def write(folder, layers, changes=None):
    """A per-layer set with these layers' tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | (changes or {})))
    for layer, tensors in enumerate(layers):
        save_tensors(folder / f"layer_{layer}.safetensors", tensors)
    return folder / "layer_0.safetensors"


def write_cross(folder, threshold=True, skip=False, changes=None):
    """A set that crosses layers, and the tensors of its layers without the number in their names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CROSS | (changes or {})))
    layers = []
    for n in range(L):
        shapes = {"W_enc": (F, D), "b_enc": (F,), "b_dec": (OUT,), "W_dec": (F, L - n, OUT)}
        shapes |= ({"threshold": (F,)} if threshold else {}) | ({"W_skip": (D, OUT)} if skip else {})
        layers.append(random(n, shapes))
        for name, one in (("W_enc", lambda key: key != "W_dec"), ("W_dec", lambda key: key == "W_dec")):
            tensors = {f"{key}_{n}": t for key, t in layers[-1].items() if one(key)}
            save_tensors(folder / f"{name}_{n}.safetensors", tensors)
    return layers


def encode(t, x, k=0):
    p = x @ t["W_enc"].T + t["b_enc"]
    threshold = t.get(THRESHOLD, t.get("threshold"))
    if k:
        return np.where(p >= np.sort(p, axis=-1)[:, -k][:, None], p, 0)
    return np.maximum(p, 0) if threshold is None else p * (p > threshold)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("threshold", "changes", "carried", "kind", "k"),
    [
        (None, {}, None, "relu", 0),
        ((F,), {}, None, "jumprelu", 0),
        ((), {}, None, "jumprelu", 0),
        ((1,), {"activation": "jump_relu"}, None, "jumprelu", 0),
        (None, {"activation": "topk", "k": 6}, None, "topk_signed", 6),
        (None, {"activation": "topk", "k": 6}, 6, "topk_signed", 6),
        (None, {}, 6, "topk_signed", 6),
        (None, {"activation": "relu"}, None, "relu", 0),
    ],
)
def test_values_and_reconstructions(tmp_path, threshold, changes, carried, kind, k, skip):
    tensors = layer_tensors(0, threshold, skip)
    source = open_source(write(tmp_path, [tensors if carried is None else tensors | {"k": np.array(carried)}], changes))
    assert (source.config.kind, source.config.k) == (kind, k)
    x = np.random.default_rng(1).normal(size=(200, D))
    features = encode(tensors, x, k)
    reconstruction = features @ tensors["W_dec"] + tensors["b_dec"] + (x @ tensors["W_skip"].T if skip else 0)
    assert 0.02 < (features != 0).mean() < 0.98
    assert (features < 0).any() == bool(k)
    with jax.enable_x64(True):
        dictionary = dictionary_of(source, np.float64)
        ours = dictionary.encode(jnp.asarray(x))
        np.testing.assert_allclose(ours, features, atol=1e-9)
        np.testing.assert_allclose(dictionary.decode(ours, jnp.asarray(x)), reconstruction, atol=1e-9)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("threshold", [False, True])
def test_cross_layer_transcoder(tmp_path, threshold, skip):
    layers = write_cross(tmp_path, threshold, skip)
    sources = [open_source(place) for place in find(tmp_path).values()]
    assert [source.arrays["W_dec"].shape for source in sources] == [(F, L - n, OUT) for n in range(L)]
    x = np.random.default_rng(1).normal(size=(L, 50, D))
    features = np.stack([encode(t, row) for t, row in zip(layers, x, strict=True)])
    expected = np.stack(
        [
            t["b_dec"]
            + sum(features[n] @ layers[n]["W_dec"][:, m - n] for n in range(m + 1))
            + (x[m] @ t["W_skip"] if skip else 0)
            for m, t in enumerate(layers)
        ]
    )
    with jax.enable_x64(True):
        transcoder = cross_layer_of(sources, np.float64)
        ours = transcoder.encode_all(jnp.asarray(x))
        np.testing.assert_allclose(ours, features, atol=1e-9)
        np.testing.assert_allclose(transcoder.decode(ours, jnp.asarray(x)), expected, atol=1e-9)
    assert (transcoder.config.stream, transcoder.config.output_stream) == ("resid_mid", "mlp_raw")


def test_a_feature_at_its_threshold_is_off(tmp_path):
    """A negative threshold is taken as it is: what is above it passes, whatever its sign."""
    tensors = {n: np.zeros_like(t) for n, t in layer_tensors(0, (F,)).items()}
    tensors[THRESHOLD][:4] = 0.3, 0.3, -0.5, -0.5
    tensors["b_enc"][:4] = 0.3, np.nextafter(0.3, 1), -0.5, -0.25
    with jax.enable_x64(True):
        values = dictionary_of(open_source(write(tmp_path, [tensors])), np.float64).encode(jnp.zeros(D, jnp.float64))
    np.testing.assert_array_equal(values[:5], [0, np.nextafter(0.3, 1), 0, -0.25, 0])


@pytest.mark.parametrize(
    ("family", "hook_in", "hook_out", "streams"),
    [
        ("qwen3", "mlp.hook_in", "mlp.hook_out", ("mlp_in", "mlp_out")),
        ("gemma2", "mlp.hook_in", "mlp.hook_out", ("mlp_in", "mlp_raw")),
        ("gemma2", "ln2.hook_normalized", "hook_mlp_out", ("mlp_norm", "mlp_out")),
        (None, "hook_resid_mid", "mlp.hook_out", ("resid_mid", "mlp_raw")),
    ],
)
def test_place_in_the_network(tmp_path, family_names, family, hook_in, hook_out, streams):
    write(tmp_path, [layer_tensors(0)] * 3, {"feature_input_hook": hook_in, "feature_output_hook": hook_out})
    source = open_source(tmp_path / "layer_2.safetensors", family_names(family))
    assert (source.layer, source.config.stream, source.config.output_stream) == (2, *streams)
    assert (source.model_name, source.num_features, source.d_in, source.d_out) == ("Qwen/Qwen3-4B", F, D, OUT)
    assert [path.name for path in source.files] == ["config.yaml", "layer_2.safetensors"]


class TestWhereLayersAre:
    def test_files_beside_the_configuration(self, tmp_path):
        write(tmp_path / "set", [layer_tensors(0), layer_tensors(1)])
        (tmp_path / "config.yaml").write_text("something: else\n")
        places = {n: tmp_path / f"set/layer_{n}.safetensors" for n in range(2)}
        assert find(tmp_path) == places
        assert weights(places[1]) == ["layer_1.safetensors"]
        assert layer_place(tmp_path / "set/config.yaml", 7) == tmp_path / "set/layer_7.safetensors"
        write_cross(tmp_path / "cross")
        assert weights(tmp_path / "cross/W_enc_1.safetensors") == ["W_enc_1.safetensors", "W_dec_1.safetensors"]
        with pytest.raises(ValueError, match="several dictionaries for layer 0"):
            find(tmp_path)

    def test_a_list_of_local_files(self, tmp_path):
        write(tmp_path, [], {"transcoders": ["deep/a.safetensors", str(tmp_path / "b.safetensors")]})
        save_tensors(tmp_path / "deep/a.safetensors", layer_tensors(0))
        save_tensors(tmp_path / "b.safetensors", layer_tensors(1))
        places = find(tmp_path)
        assert list(places) == [0, 1]
        assert weights(places[0]) == []
        for layer, place in places.items():
            source = open_source(place)
            assert source.layer == layer
            np.testing.assert_array_equal(source.arrays["b_enc"].whole(), layer_tensors(layer)["b_enc"])

    def test_a_list_of_files_on_the_hub(self, tmp_path, monkeypatch):
        save_tensors(tmp_path / "cache/layer_0.safetensors", layer_tensors(0))
        asked = []

        def resolve(reference, patterns, complete):
            asked.append((reference, patterns, complete(tmp_path / "cache"), complete(tmp_path)))
            return tmp_path / "cache"

        monkeypatch.setattr("causeway.ports.dictionaries.circuit_tracer_config.resolve", resolve)
        place = write(tmp_path / "set", [], {"transcoders": ["hf://org/name/sub/layer_0.safetensors?revision=v2"]})
        assert open_source(place).files[1] == tmp_path / "cache/layer_0.safetensors"
        assert asked == [("hf://org/name/sub?revision=v2", ["layer_0.safetensors"], True, False)]

    def test_a_list_of_gemma_scope_files(self, tmp_path):
        """Both generations, in their own orientation."""
        t = layer_tensors(0, (F,))
        gemma = {"W_enc": t["W_enc"].T, "threshold": t[THRESHOLD]} | {n: t[n] for n in ("b_enc", "W_dec", "b_dec")}
        np.savez(tmp_path / "params.npz", **gemma)
        second = {n.lower(): a for n, a in gemma.items()} | {"affine_skip_connection": np.ones((D, OUT))}
        save_tensors(tmp_path / "params.safetensors", second)
        write(tmp_path, [], {"transcoders": ["params.npz", "params.safetensors"]})
        x = np.random.default_rng(1).normal(size=(50, D))
        for place in find(tmp_path).values():
            with jax.enable_x64(True):
                values = dictionary_of(open_source(place), np.float64).encode(jnp.asarray(x))
            np.testing.assert_allclose(values, encode(t, x), atol=1e-9)
        assert open_source(place).arrays["W_skip"].shape == (D, OUT)
        (tmp_path / "config.yaml").write_text(
            yaml.safe_dump(CONFIG | {"transcoders": ["params.npz"], "activation": "relu"})
        )
        with pytest.raises(ValueError, match=r"activation is relu, but .*params\.npz is a JumpReLU of Gemma Scope"):
            open_source(tmp_path / "layer_0.safetensors")

    @pytest.mark.parametrize(
        ("entries", "layer", "message"),
        [
            (["../a.safetensors"], 0, r"the transcoder '\.\./a\.safetensors' leaves the folder"),
            (["a.safetensors"], 3, "lists 1 transcoders, none for layer 3"),
            (["hf://org/../x/a.safetensors"], 0, "reference: .* is not a folder here"),
        ],
    )
    def test_lists_that_are_not_followed(self, tmp_path, entries, layer, message):
        write(tmp_path, [], {"transcoders": entries})
        with pytest.raises(ValueError, match=message):
            open_source(tmp_path / f"layer_{layer}.safetensors")

    def test_absent_files(self, tmp_path):
        write_cross(tmp_path)
        (tmp_path / "W_dec_1.safetensors").unlink()
        with pytest.raises(FileNotFoundError, match=r"W_dec_1\.safetensors: no such file"):
            open_source(tmp_path / "W_enc_1.safetensors")
        with pytest.raises(ValueError, match=r"is a cross_layer_transcoder, whose layers are called W_enc_N"):
            open_source(tmp_path / "layer_1.safetensors")
        (tmp_path / "config.yaml").unlink()
        with pytest.raises(FileNotFoundError, match=r"config\.yaml: no such file; it says which streams"):
            open_source(tmp_path / "W_enc_0.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_kind": "other"}, "model_kind 'other' is not read; read are transcoder_set, cross_layer_transcoder"),
        ({"activation": "gelu"}, "activation 'gelu' is not read"),
        ({"activation": "topk"}, "activation is topk, but neither it nor the weights say k"),
        ({"activation": "topk", "k": 0}, "k is 0 with activation 'topk'"),
        ({"activation": "topk", "k": F + 1}, "k is 9, more than the 8 features"),
        ({"k": 3}, "k is 3 with activation None; a k above 0 goes with topk"),
        ({"activation": "jumprelu"}, f"missing: {THRESHOLD}"),
        ({"feature_input_hook": "mlp.hook_pre"}, "feature_output_hook: site: .blocks.0.mlp.hook_pre. is no stream"),
        ({"feature_output_hook": None}, "field feature_output_hook is missing"),
        ({"new_switch": 1}, "unknown fields new_switch=1"),
        ({"model_kind": "cross_layer_transcoder", "activation": "topk", "k": 3}, "topk is not read for a cross"),
    ],
)  # fmt: skip
def test_refused_configuration(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, [layer_tensors(0)], changes))


def test_yaml_that_is_none(tmp_path):
    place = write(tmp_path, [layer_tensors(0)])
    for text, message in (
        ("a: [1", "not a readable YAML"),
        ("- a", "holds a list; needs a mapping"),
        ("!!python/x y", "not a readable YAML"),
    ):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ValueError, match=rf"config\.yaml: {message}") as caught:
            open_source(place)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("b_dec"), "missing: b_dec"),
        (lambda t: t.pop("W_enc"), "missing: W_enc"),
        (lambda t: t.update(log_thresholds=np.zeros(F)), "no place in a transcoder of .*: log_thresholds"),
        (lambda t: t.update(W_skip=np.zeros((D, OUT))), r"W_skip has shape \(5, 7\); the configuration needs \(7, 5\)"),
        (lambda t: t.update({THRESHOLD: np.zeros(F + 1)}), rf"{THRESHOLD} has shape \(9,\)"),
        (lambda t: t.update(k=np.array(0)), r"tensor k: got 0.0; needs a whole number from 1"),
        (lambda t: t.update(k=np.array([3, 3])), r"tensor k has shape \(2,\); needs one number"),
        (lambda t: t.update({"k": np.array(3), THRESHOLD: np.zeros(F)}), "no place in a transcoder"),
    ],
)  # fmt: skip
def test_refused_tensors(tmp_path, change, message):
    tensors = layer_tensors(0)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, [tensors]))


def test_a_k_that_contradicts_the_configuration(tmp_path):
    tensors = layer_tensors(0) | {"k": np.array(3)}
    with pytest.raises(ValueError, match=r"layer_0\.safetensors: tensor k is 3, but .*config\.yaml says 4"):
        open_source(write(tmp_path, [tensors], {"activation": "topk", "k": 4}))
    with pytest.raises(ValueError, match=r"tensor k is 3, but .*config\.yaml says relu, not topk"):
        open_source(write(tmp_path, [tensors], {"activation": "relu"}))
