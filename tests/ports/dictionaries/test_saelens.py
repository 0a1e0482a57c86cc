"""Canonical dictionaries against SAELens' own definitions, written out in numpy float64."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from causeway.engine.dictionary.dictionary import Dictionary
from causeway.ports.dictionaries.saelens import open_source, weights

D, F, OUT = 6, 10, 5
METADATA = {"sae_lens_version": "6.54.12", "model_name": "m", "hook_name": "blocks.3.hook_resid_post"}
V6 = {
    "d_in": D, "d_sae": F, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": False,
    "normalize_activations": "none", "reshape_activations": "none", "architecture": "standard", "metadata": METADATA,
}  # fmt: skip
TRANSCODES = {
    "d_out": OUT, "metadata": METADATA | {"hook_name": "blocks.3.mlp.hook_in", "hook_name_out": "blocks.3.hook_mlp_out"}
}  # fmt: skip
PURSUIT = {"architecture": "matching_pursuit", "max_iterations": 4, "residual_threshold": 0.3}
PER_TOKEN = [
    {},
    {"architecture": "jumprelu"},
    {"architecture": "gated"},
    {"architecture": "topk", "k": 3},
    {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True},
    {"architecture": "abstopk", "k": 3},
    {"architecture": "abstopk", "k": 3, "rescale_acts_by_decoder_norm": True},
]
X = 2 * np.random.default_rng(1).normal(size=(200, D)) + 1


def arrays(architecture: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random arrays of an architecture, b_dec far from zero."""
    rng = np.random.default_rng(seed)
    out = OUT if "transcoder" in architecture else D
    shapes = {"W_dec": (F, out), "b_dec": (out,)}
    if architecture != "matching_pursuit":
        shapes["W_enc"] = (D, F)
        shapes |= dict.fromkeys(("b_gate", "b_mag", "r_mag") if architecture == "gated" else ("b_enc",), (F,))
    shapes |= {"threshold": (F,)} if "jumprelu" in architecture else {}
    shapes |= {"W_skip": (out, D)} if "skip" in architecture else {}
    drawn = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    if architecture == "matching_pursuit":
        drawn["W_dec"] /= np.linalg.norm(drawn["W_dec"], axis=1, keepdims=True)
    return drawn


def write(folder, config: dict, tensors: dict | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(arrays(config["architecture"]) if tensors is None else tensors, folder / "sae_weights.safetensors")


def read_folder(folder, dtype) -> Dictionary:
    """All of a folder's dictionary in memory."""
    source = open_source(folder / "cfg.json")
    return Dictionary(source.config, **{n: jnp.asarray(a.whole().astype(dtype)) for n, a in source.arrays.items()})


def pursue(config: dict, w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """SAELens' pursuit, a token at a time."""
    f = np.zeros((len(x), len(w)))
    for rest, row in zip(x.copy(), f, strict=True):
        for _ in range(config.get("max_iterations") or x.shape[1]):
            best, support = np.argmax(np.maximum(w @ rest, 0)), row != 0
            value = max(w[best] @ rest, 0)
            row[best] += value
            rest -= value * w[best]
            same = ((row != 0) == support).all() and config.get("stop_on_duplicate_support", True)
            if same or np.linalg.norm(rest) < config.get("residual_threshold", 1e-2):
                break
    return f


def activation(config: dict, t: dict, x: np.ndarray) -> np.ndarray:
    architecture = config["architecture"]
    if architecture == "matching_pursuit":
        return pursue(config, t["W_dec"], x)
    if architecture == "gated":
        gate = x @ t["W_enc"] + t["b_gate"] > 0
        return gate * np.maximum(x @ (t["W_enc"] * np.exp(t["r_mag"])) + t["b_mag"], 0)
    p = x @ t["W_enc"] + t["b_enc"]
    if "jumprelu" in architecture:
        return np.maximum(p, 0) * (p > t["threshold"])
    if architecture not in ("topk", "abstopk"):
        return np.maximum(p, 0)
    p = p * norms_of(config, t)
    size = np.abs(p) if architecture == "abstopk" else p
    kept = np.where(size >= np.sort(size, axis=-1)[:, -config["k"], None], p, 0)
    return kept if architecture == "abstopk" else np.maximum(kept, 0)


def norms_of(config: dict, t: dict) -> np.ndarray:
    return np.linalg.norm(t["W_dec"], axis=1) if config.get("rescale_acts_by_decoder_norm") else np.ones(F)


def saelens(config: dict, tensors: dict, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(feature values, reconstruction) as SAELens computes them."""
    t = {name: array.astype(np.float64) for name, array in tensors.items()}
    transcodes, norm = "transcoder" in config["architecture"], config["normalize_activations"]
    inner, back = x, lambda y: y
    if norm == "layer_norm":
        mean, std = x.mean(-1, keepdims=True), x.std(-1, ddof=1, keepdims=True)
        inner, back = (x - mean) / (std + 1e-5), lambda y: y * std + mean
    if norm == "constant_norm_rescale":
        factor = np.sqrt(D) / np.linalg.norm(x, axis=-1, keepdims=True)
        inner, back = x * factor, lambda y: y / factor
    subtracts = config["apply_b_dec_to_input"]
    f = activation(config, t, inner - t["b_dec"] * subtracts if subtracts else inner)
    y = (f / norms_of(config, t)) @ t["W_dec"]
    if config["architecture"] != "matching_pursuit" or subtracts:
        y = y + t["b_dec"]
    y = y if transcodes else back(y)
    return f, y + x @ t["W_skip"].T if "W_skip" in t else y


def check(folder, wanted, x=X, **options) -> None:
    """Values and reconstructions, float64 to 1e-9 and float32 to 1e-5 of the largest."""
    features, reconstruction = wanted
    assert 0.02 < (features != 0).mean() < 0.98
    source = open_source(folder / "cfg.json", **options)
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-5)):
        with jax.enable_x64(dtype == "float64"):
            dictionary = loaded(source, dtype)
            got = np.asarray(dictionary.encode(jnp.asarray(x, dtype)))
            # In float32 a value next to its threshold may fall on its other side.
            steady = np.isclose(got, features, atol=tolerance * np.abs(features).max(), rtol=0)
            assert steady.all() if dtype == "float64" else steady.mean() > 0.995
            rebuilt = np.asarray(dictionary.decode(jnp.asarray(features, dtype), jnp.asarray(x, dtype)))
            np.testing.assert_allclose(rebuilt, reconstruction, atol=tolerance * np.abs(reconstruction).max())


def loaded(source, dtype) -> Dictionary:
    return Dictionary(source.config, **{n: jnp.asarray(a.whole().astype(dtype)) for n, a in source.arrays.items()})


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("subtracts", [False, True])
@pytest.mark.parametrize("changes", [*PER_TOKEN, PURSUIT])
def test_every_sae_equals_its_definition(tmp_path, changes, subtracts, norm):
    config = V6 | {"apply_b_dec_to_input": subtracts, "normalize_activations": norm} | changes
    write(tmp_path, config)
    check(tmp_path, saelens(config, arrays(config["architecture"]), X))


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize(
    "architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"]
)
def test_every_transcoder_equals_its_definition(tmp_path, architecture, norm):
    config = V6 | TRANSCODES | {"architecture": architecture, "normalize_activations": norm}
    write(tmp_path, config)
    check(tmp_path, saelens(config, arrays(architecture), X))
    source = open_source(tmp_path / "cfg.json")
    assert (source.config.stream, source.config.output_stream, source.d_out) == ("mlp_in", "mlp_out", OUT)


@pytest.mark.parametrize("subtracts", [False, True])
@pytest.mark.parametrize("changes", PER_TOKEN)
def test_a_constant_scale_is_folded_as_saelens_does(tmp_path, changes, subtracts):
    s, config = 0.37, V6 | {"apply_b_dec_to_input": subtracts} | changes
    write(tmp_path, config | {"normalize_activations": "expected_average_only_in"})
    t = {name: array.astype(np.float64) for name, array in arrays(config["architecture"]).items()}
    folded = t | {"W_enc": t["W_enc"] * s, "W_dec": t["W_dec"] / s, "b_dec": t["b_dec"] / s}
    check(tmp_path, saelens(config, folded, X), norm_scaling_factor=s)
    check(tmp_path, saelens(config, folded, X), norm_scaling_factor={3: s, 4: 9.0})
    assert "scaled by 0.37" in open_source(tmp_path / "cfg.json", norm_scaling_factor=s).value_scale
    (tmp_path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": s}))
    check(tmp_path, saelens(config, folded, X))
    assert tmp_path / "activation_scaler.json" in open_source(tmp_path / "cfg.json").files


def test_a_pursuit_of_scaled_inputs_has_raw_values(tmp_path):
    s, config = 0.37, V6 | PURSUIT | {"apply_b_dec_to_input": True}
    write(tmp_path, config | {"normalize_activations": "expected_average_only_in"})
    f, y = saelens(config, arrays("matching_pursuit"), X * s)
    check(tmp_path, (f / s, y / s), norm_scaling_factor=s)


@pytest.mark.parametrize("subtracts", [False, True])
@pytest.mark.parametrize("changes", PER_TOKEN)
def test_a_whitening_is_folded(tmp_path, changes, subtracts):
    config = V6 | {"apply_b_dec_to_input": subtracts} | changes
    rng = np.random.default_rng(2)
    mean, matrix = rng.normal(size=D), np.linalg.qr(rng.normal(size=(D, D)))[0] * rng.uniform(0.5, 2, D)
    inverse = np.linalg.inv(matrix)
    write(tmp_path, config | {"normalize_activations": "covariance_whitening"})
    assert weights(tmp_path / "cfg.json") == ["sae_weights.safetensors", "activation_whitening.safetensors"]
    with pytest.raises(FileNotFoundError, match=r"activation_whitening\.safetensors: no such file"):
        open_source(tmp_path / "cfg.json")
    tensors = {"mean": mean, "matrix": matrix, "inverse_matrix": inverse}
    save_file({n: np.ascontiguousarray(a) for n, a in tensors.items()}, tmp_path / "activation_whitening.safetensors")
    f, y = saelens(config, arrays(config["architecture"]), (X - mean) @ matrix)
    check(tmp_path, (f, y @ inverse + mean))
    save_file(tensors | {"inverse_matrix": inverse * 2}, tmp_path / "activation_whitening.safetensors")
    with pytest.raises(ValueError, match="off the identity by 1"):
        open_source(tmp_path / "cfg.json")


def test_ranges_are_cut_from_the_whole(tmp_path):
    for changes in [*PER_TOKEN, PURSUIT]:
        config = V6 | {"apply_b_dec_to_input": True, "normalize_activations": "expected_average_only_in"} | changes
        write(tmp_path, config)
        for array in open_source(tmp_path / "cfg.json", norm_scaling_factor=2.0).arrays.values():
            whole = array.whole()
            assert whole.shape == array.shape
            if array.feature_axis is not None:
                parts = [array.read(a, b) for a, b in ((0, 3), (3, 4), (4, F))]
                np.testing.assert_allclose(np.concatenate(parts, array.feature_axis), whole, rtol=1e-12)


def test_heads_are_read_side_by_side(tmp_path):
    changes = {"reshape_activations": "hook_z", "metadata": METADATA | {"hook_name": "blocks.3.attn.hook_z"}}
    write(tmp_path, V6 | changes)
    assert open_source(tmp_path / "cfg.json").config.stream == "head_out"
    check(tmp_path, saelens(V6, arrays("standard"), X))


def test_what_no_fold_touches_is_read_to_the_bit(tmp_path):
    tensors = arrays("jumprelu")
    tensors["threshold"] = abs(tensors["threshold"])
    write(tmp_path, V6 | {"architecture": "jumprelu"}, tensors)
    dictionary = read_folder(tmp_path, jnp.dtype("float32"))
    for name, array in tensors.items():
        np.testing.assert_array_equal(getattr(dictionary, name)[...], array)
    assert (dictionary.config.layers, dictionary.config.stream) == ((3,), "resid_post")
    # A b_dec of zeros takes nothing from the bias, to the bit.
    tensors["b_dec"][:] = 0
    write(tmp_path, V6 | {"architecture": "jumprelu", "apply_b_dec_to_input": True}, tensors)
    np.testing.assert_array_equal(open_source(tmp_path / "cfg.json").arrays["b_enc"].whole(), tensors["b_enc"])


def test_a_threshold_is_strict_and_never_below_zero(tmp_path):
    tensors = arrays("jumprelu")
    tensors["threshold"][:3] = [1.0, -1.0, np.nextafter(np.float32(1), np.float32(0))]
    tensors["W_enc"][:] = 0
    tensors["b_enc"][:3] = [1.0, -0.5, 1.0]
    write(tmp_path, V6 | {"architecture": "jumprelu"}, tensors)
    values = read_folder(tmp_path, jnp.dtype("float32")).encode(jnp.zeros((1, D)))
    np.testing.assert_array_equal(values[0, :3], [0, 0, 1])


def test_a_log_threshold_of_an_old_checkpoint_is_its_exponential(tmp_path):
    tensors = arrays("jumprelu")
    logs = tensors | {"log_threshold": tensors.pop("threshold")}
    write(tmp_path, V6 | {"architecture": "jumprelu"}, {n: a for n, a in logs.items() if n != "threshold"})
    got = open_source(tmp_path / "cfg.json").arrays["threshold"].whole()
    np.testing.assert_allclose(got, np.exp(logs["log_threshold"].astype(np.float64)), rtol=1e-12)


def test_decoder_row_of_zeros_under_rescaling(tmp_path):
    tensors = arrays("topk")
    tensors["W_dec"][2] = 0
    write(tmp_path, V6 | {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}, tensors)
    dictionary = read_folder(tmp_path, jnp.dtype("float32"))
    values = dictionary.encode(jnp.ones((4, D)))
    assert np.isfinite(dictionary.decode(values)).all()
    assert not values[:, 2].any()


def test_a_pursuit_without_a_limit_ends_after_d_in_iterations(tmp_path):
    write(tmp_path, V6 | {"architecture": "matching_pursuit", "max_iterations": None})
    config = open_source(tmp_path / "cfg.json").config
    assert (config.k, config.residual_threshold, config.stop_on_duplicate) == (D, 0.01, True)


@pytest.mark.parametrize("factor", [0, -1.0, float("nan"), True, "2"])
def test_refused_factor(tmp_path, factor):
    write(tmp_path, V6 | {"normalize_activations": "expected_average_only_in"})
    with pytest.raises(ValueError, match=r"norm_scaling_factor: got .* needs a number above 0"):
        open_source(tmp_path / "cfg.json", norm_scaling_factor=factor)


def test_a_factor_that_would_do_nothing_is_refused(tmp_path):
    write(tmp_path, V6)
    with pytest.raises(ValueError, match=r"norm_scaling_factor: got 2\.0, but .* has normalize_activations 'none'"):
        open_source(tmp_path / "cfg.json", norm_scaling_factor=2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("b_enc"), "missing: b_enc"),
        (lambda t: t.update(threshold=np.zeros(F, np.float32)), "no place in a standard dictionary: threshold"),
        (lambda t: t.update(topk_threshold=np.zeros(1, np.float32)), "topk_threshold belongs to a batchtopk training"),
        (lambda t: t.update(W_enc=np.zeros((D, F + 1), np.float32)), r"W_enc has shape \(6, 11\); .* needs \(6, 10\)"),
        (lambda t: t["W_dec"].__setitem__((0, 0), np.nan), "W_dec has 1 of 60 values that are not finite"),
    ],
)
def test_refused_tensors(tmp_path, change, message):
    write(tmp_path, V6)
    tensors = load_file(tmp_path / "sae_weights.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "sae_weights.safetensors")
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path, jnp.dtype("float32"))


def test_weights_that_are_not_there(tmp_path):
    write(tmp_path, V6)
    (tmp_path / "sae_weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"sae_weights\.safetensors: no such file"):
        open_source(tmp_path / "cfg.json")


def test_factors_by_layer_are_left_where_none_is_needed(tmp_path):
    write(tmp_path, V6)
    assert open_source(tmp_path / "cfg.json", norm_scaling_factor={3: 2.0}).value_scale == "raw"
