"""Canonical dictionaries against SAELens' own definitions, written out in numpy float64."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from causeway.ports.saelens import read_folder

D, F = 6, 10
V6 = {
    "d_in": D, "d_sae": F, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": False,
    "normalize_activations": "none", "reshape_activations": "none", "architecture": "standard",
    "metadata": {"sae_lens_version": "6.54.12", "model_name": "m", "hook_name": "blocks.3.hook_resid_post"},
}  # fmt: skip
V5 = {
    "d_in": D, "d_sae": F, "dtype": "torch.float32", "device": "cuda", "architecture": "standard",
    "hook_point": "blocks.3.hook_resid_post", "hook_point_layer": 3, "hook_point_head_index": None,
    "model_name": "m", "activation_fn_str": "relu", "activation_fn_kwargs": {}, "l1_coefficient": 5,
    "finetuning_scaling_factor": False, "normalize_activations": False, "sae_lens_training_version": "3.1.0",
}  # fmt: skip


def arrays(architecture: str) -> dict[str, np.ndarray]:
    """Random arrays of an architecture, b_dec far from zero."""
    rng = np.random.default_rng(0)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_dec": (D,)}
    vectors = {"gated": ("b_gate", "b_mag", "r_mag"), "jumprelu": ("b_enc", "threshold")}
    shapes |= dict.fromkeys(vectors.get(architecture, ("b_enc",)), (F,))
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write(folder, config: dict, tensors: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(tensors, folder / "sae_weights.safetensors")


def saelens(config: dict, tensors: dict, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(feature values, reconstruction) as SAELens computes them."""
    t = {name: array.astype(np.float64) for name, array in tensors.items()}
    x = x - t["b_dec"] * config["apply_b_dec_to_input"]
    norms = np.linalg.norm(t["W_dec"], axis=1) if config.get("rescale_acts_by_decoder_norm") else np.ones(F)
    if config["architecture"] == "gated":
        gate = x @ t["W_enc"] + t["b_gate"] > 0
        f = gate * np.maximum(x @ (t["W_enc"] * np.exp(t["r_mag"])) + t["b_mag"], 0)
    else:
        p = x @ t["W_enc"] + t["b_enc"]
        f = np.maximum(p, 0)
        if config["architecture"] == "jumprelu":
            f = f * (p > t["threshold"])
        if config["architecture"] == "topk":
            p = p * norms
            kth = np.sort(p, axis=-1)[:, -config["k"]][:, None]
            f = np.maximum(np.where(p >= kth, p, 0), 0)
    return f, (f / norms) @ t["W_dec"] + t["b_dec"]


@pytest.mark.parametrize("subtracts", [False, True])
@pytest.mark.parametrize(
    ("architecture", "extra"),
    [
        ("standard", {}),
        ("jumprelu", {}),
        ("gated", {}),
        ("topk", {"k": 3}),
        ("topk", {"k": 3, "rescale_acts_by_decoder_norm": True}),
    ],
)
def test_every_fold_is_exact(tmp_path, architecture, extra, subtracts):
    config = V6 | {"architecture": architecture, "apply_b_dec_to_input": subtracts} | extra
    tensors = arrays(architecture)
    write(tmp_path, config, tensors)
    x = np.random.default_rng(1).normal(size=(200, D))
    features, reconstruction = saelens(config, tensors, x)
    assert 0.02 < (features > 0).mean() < 0.98
    with jax.enable_x64(True):
        dictionary = read_folder(tmp_path, jnp.dtype("float64"))
        ours = dictionary.encode(jnp.asarray(x))
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, features, atol=1e-12)
        np.testing.assert_allclose(dictionary.decode(ours), reconstruction, atol=1e-12)


def test_what_no_fold_touches_is_read_to_the_bit(tmp_path):
    tensors = arrays("jumprelu")
    tensors["threshold"] = abs(tensors["threshold"])
    write(tmp_path, V6 | {"architecture": "jumprelu"}, tensors)
    dictionary = read_folder(tmp_path, jnp.dtype("float32"))
    for name, array in tensors.items():
        np.testing.assert_array_equal(getattr(dictionary, name)[...], array)
    assert (dictionary.config.layers, dictionary.config.stream) == ((3,), "resid_post")


def test_decoder_row_of_zeros_under_rescaling(tmp_path):
    tensors = arrays("topk")
    tensors["W_dec"][2] = 0
    write(tmp_path, V6 | {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}, tensors)
    dictionary = read_folder(tmp_path, jnp.dtype("float32"))
    values = dictionary.encode(jnp.ones((4, D)))
    assert np.isfinite(dictionary.decode(values)).all()
    assert not values[:, 2].any()


@pytest.mark.parametrize(
    ("hook", "layer", "stream"),
    [
        ("blocks.0.hook_resid_pre", 0, "resid_pre"),
        ("blocks.7.hook_resid_mid", 7, "resid_mid"),
        ("blocks.7.hook_mlp_out", 7, "mlp_out"),
        ("blocks.11.hook_attn_out", 11, "attn_out"),
        ("model.layers.5", 5, "resid_post"),
    ],
)
def test_place_in_the_network(tmp_path, hook, layer, stream):
    write(tmp_path, V6 | {"metadata": V6["metadata"] | {"hook_name": hook}}, arrays("standard"))
    config = read_folder(tmp_path, jnp.dtype("float32")).config
    assert (config.layers, config.stream) == ((layer,), stream)


class TestBeforeVersion6:
    def test_flat_file_is_migrated_with_its_defaults(self, tmp_path):
        """apply_b_dec_to_input was true where it was not written."""
        tensors = arrays("standard")
        write(tmp_path, V5, tensors)
        dictionary = read_folder(tmp_path, jnp.dtype("float32"))
        shift = tensors["b_dec"].astype(np.float64) @ tensors["W_enc"]
        np.testing.assert_allclose(dictionary.b_enc[...], tensors["b_enc"] - shift, atol=1e-6)
        assert (dictionary.config.kind, dictionary.config.layers) == ("relu", (3,))

    def test_topk_was_an_activation(self, tmp_path):
        write(tmp_path, V5 | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}, arrays("standard"))
        config = read_folder(tmp_path, jnp.dtype("float32")).config
        assert (config.kind, config.k) == ("topk", 4)

    def test_scaling_factor_is_folded(self, tmp_path):
        tensors = arrays("standard")
        scale = np.linspace(0.5, 2, F).astype(np.float32)
        write(tmp_path / "plain", V5, tensors)
        write(tmp_path / "scaled", V5 | {"finetuning_scaling_factor": True}, tensors | {"scaling_factor": scale})
        plain, scaled = (read_folder(tmp_path / n, jnp.dtype("float32")) for n in ("plain", "scaled"))
        x = jnp.asarray(np.random.default_rng(1).normal(size=(50, D)), jnp.float32)
        values = plain.encode(x)
        np.testing.assert_array_equal(scaled.encode(x), values)
        np.testing.assert_allclose(scaled.decode(values), plain.decode(values * scale), atol=1e-4)

    def test_scaling_factor_of_ones_changes_nothing(self, tmp_path):
        write(tmp_path, V5, arrays("standard") | {"scaling_factor": np.ones(F, np.float32)})
        read_folder(tmp_path, jnp.dtype("float32"))

    def test_scaling_factor_of_unknown_use_is_refused(self, tmp_path):
        write(tmp_path, V5, arrays("standard") | {"scaling_factor": np.full(F, 2, np.float32)})
        with pytest.raises(ValueError, match=r"scaling_factor is not all ones, but .*cfg\.json does not set"):
            read_folder(tmp_path, jnp.dtype("float32"))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"activation_fn_str": "tanh-relu"}, "activation_fn 'tanh-relu' is not read"),
            ({"normalize_activations": True}, "'expected_average_only_in' cannot be folded"),
            ({"hook_point": "blocks.3.attn.hook_z"}, "reshape_activations 'hook_z'"),
            ({"brand_new": 1}, "unknown fields brand_new=1"),
        ],
    )
    def test_refused(self, tmp_path, changes, message):
        write(tmp_path, V5 | changes, arrays("standard"))
        with pytest.raises(ValueError, match=message):
            read_folder(tmp_path, jnp.dtype("float32"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "transcoder"}, "architecture 'transcoder' is not read; read are standard, gated"),
        ({"architecture": "topk"}, "field k is missing"),
        ({"architecture": "topk", "k": F + 1}, "k = 11 is more than d_sae = 10"),
        ({"normalize_activations": "layer_norm"}, "rescales every token by its own mean"),
        ({"normalize_activations": "expected_average_only_in"}, "fold_activation_norm_scaling_factor"),
        ({"normalize_activations": "brand_new"}, "it is not known here"),
        ({"reshape_activations": "hook_z"}, "dictionaries of attention heads are not read"),
        ({"new_switch": True}, "unknown fields new_switch=True"),
        ({"d_in": None}, "field d_in is missing"),
        ({"metadata": {"sae_lens_version": "6.0.0"}}, "hook_name is None"),
        ({"metadata": V6["metadata"] | {"hook_name": "blocks.3.hook_odd"}}, "hook_name: site: cannot read"),
        ({"metadata": V6["metadata"] | {"hook_name": "blocks.3.attn.hook_pattern"}}, "a stream of whole vectors"),
        ({"metadata": V6["metadata"] | {"hook_name_out": "blocks.3.hook_mlp_out"}}, "needs one hook"),
    ],
)
def test_refused_configuration(tmp_path, changes, message):
    write(tmp_path, V6 | changes, arrays("standard"))
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path, jnp.dtype("float32"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("b_enc"), "missing: b_enc"),
        (lambda t: t.update(threshold=np.zeros(F, np.float32)), "no place in a standard dictionary: threshold"),
        (lambda t: t.update(W_enc=np.zeros((D, F + 1), np.float32)), r"W_enc has shape \(6, 11\); .* needs \(6, 10\)"),
        (lambda t: t["W_dec"].__setitem__((0, 0), np.nan), "W_dec has 1 of 60 values that are not finite"),
    ],
)
def test_refused_tensors(tmp_path, change, message):
    write(tmp_path, V6, arrays("standard"))
    tensors = load_file(tmp_path / "sae_weights.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "sae_weights.safetensors")
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path, jnp.dtype("float32"))


def test_weights_that_are_not_there(tmp_path):
    write(tmp_path, V6, arrays("standard"))
    (tmp_path / "sae_weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"sae_weights\.safetensors: no such file"):
        read_folder(tmp_path, jnp.dtype("float32"))
