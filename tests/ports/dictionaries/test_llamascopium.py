"""Llamascopium against its own definition, written out in numpy float64."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.ports.dictionaries.llamascopium import find, open_source, weights
from tests.ports.dictionary_files import dictionary_of, save_tensors

D, F = 6, 9
CONFIG = {
    "sae_type": "sae", "d_model": D, "expansion_factor": 1.5, "use_decoder_bias": True, "act_fn": "jumprelu",
    "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True, "top_k": 3, "use_triton_kernel": False,
    "sparsity_threshold_for_triton_spmm_kernel": 0.99, "jumprelu_threshold_window": 2.0, "use_glu_encoder": False,
    "hook_point_in": "blocks.12.hook_resid_post", "hook_point_out": "blocks.12.hook_resid_post",
}  # fmt: skip
TRANSCODER = {"hook_point_in": "blocks.12.ln2.hook_normalized", "hook_point_out": "blocks.12.hook_mlp_out"}
NORM_IN, NORM_OUT = 20.0, 3.5
RNG = np.random.default_rng(0)
TENSORS = {
    "W_E": RNG.normal(size=(D, F)), "b_E": RNG.normal(size=F), "W_D": RNG.normal(size=(F, D)),
    "b_D": RNG.normal(size=D), "activation_function.log_jumprelu_threshold": RNG.normal(size=F),
}  # fmt: skip


def published(config, linear=False):
    """The tensors a configuration asks for, under either naming."""
    tensors = dict(TENSORS)
    if not config["use_decoder_bias"]:
        del tensors["b_D"]
    if config["act_fn"] != "jumprelu":
        del tensors["activation_function.log_jumprelu_threshold"]
    norms = {config["hook_point_out"]: NORM_OUT, config["hook_point_in"]: NORM_IN}
    if config["norm_activation"] != "dataset-wise":
        norms = dict.fromkeys(norms, np.nan)  # written uninitialised
    tensors |= {f"dataset_average_activation_norm.{hook}": np.array(norm) for hook, norm in norms.items()}
    if not linear:
        return tensors
    names = {"W_E": "encoder.weight", "b_E": "encoder.bias", "W_D": "decoder.weight", "b_D": "decoder.bias"}
    renamed = {names.get(n, n.removeprefix("activation_function.")): t for n, t in tensors.items()}
    return {n: t.T if n.endswith("coder.weight") else t for n, t in renamed.items()}


def write(folder, changes=None, tensors=None, **options):
    config = CONFIG | (changes or {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_tensors(folder / "sae_weights.safetensors", published(config, **options) if tensors is None else tensors)
    return folder / "config.json"


def definition(config, x):
    """(feature values, reconstruction): normalise, encode, decode, denormalise."""
    s_in = s_out = 1.0
    if config["norm_activation"] == "dataset-wise":
        transcodes = config["hook_point_in"] != config["hook_point_out"]
        s_in = math.sqrt(D) / NORM_IN
        s_out = math.sqrt(D) / NORM_OUT if transcodes else s_in
    norm = np.linalg.norm(TENSORS["W_D"], axis=1) if config["sparsity_include_decoder_norm"] else np.ones(F)
    p = (x * s_in @ TENSORS["W_E"] + TENSORS["b_E"]) * norm
    if config["act_fn"] == "jumprelu":
        f = p * (p > np.exp(TENSORS["activation_function.log_jumprelu_threshold"]))
    else:
        f = np.maximum(p, 0)
    if config["act_fn"] == "topk":
        f = np.where(f >= np.sort(f, axis=-1)[:, -config["top_k"]][:, None], f, 0)
    f = f / norm
    bias = TENSORS["b_D"] if config["use_decoder_bias"] else 0
    return f, (f @ TENSORS["W_D"] + bias) / s_out


@pytest.mark.parametrize("linear", [False, True], ids=["names of now", "older names"])
@pytest.mark.parametrize("on_norm", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        TRANSCODER,
        {"norm_activation": "inference"},
        {"use_decoder_bias": False},
        {"act_fn": "relu"},
        {"act_fn": "topk"},
    ],
    ids=["published", "transcoder", "inference", "no decoder bias", "relu", "topk"],
)
def test_every_fold_is_exact(tmp_path, changes, on_norm, linear):
    config = CONFIG | changes | {"sparsity_include_decoder_norm": on_norm}
    source = open_source(write(tmp_path, config, linear=linear))
    x = np.random.default_rng(1).normal(size=(200, D)) * 8
    features, reconstruction = definition(config, x)
    if config["act_fn"] == "topk" and on_norm:
        assert source.value_scale.endswith("and each feature is multiplied by the norm of its decoder row")
        features = features * np.linalg.norm(TENSORS["W_D"], axis=1)
    assert 0.02 < (features != 0).mean() < 0.98
    with jax.enable_x64(True):
        dictionary = dictionary_of(source, np.float64)
        ours = dictionary.encode(jnp.asarray(x))
        np.testing.assert_allclose(ours, features, atol=1e-9)
        np.testing.assert_allclose(dictionary.decode(ours), reconstruction, atol=1e-9)


def test_a_feature_at_its_threshold_is_off(tmp_path):
    """Numbers that no rounding touches: threshold exp(0) = 1 on rows of norm 2, so 1/2 on p."""
    tensors = {n: np.zeros_like(t) for n, t in TENSORS.items()}
    tensors["W_D"][:, 0] = 2
    tensors["b_E"][:3] = 0.5, 0.5 + 2.0**-40, 0.5 - 2.0**-40
    source = open_source(write(tmp_path, {"norm_activation": "inference"}, tensors))
    with jax.enable_x64(True):
        values = dictionary_of(source, np.float64).encode(jnp.zeros(D, jnp.float64))
    np.testing.assert_array_equal(values[:4], [0, 0.5 + 2.0**-40, 0, 0])


def test_place_scale_and_files(tmp_path):
    source = open_source(write(tmp_path, TRANSCODER))
    assert (source.layer, source.config.stream, source.config.output_stream) == (12, "mlp_norm", "mlp_out")
    assert source.value_scale == "as trained: the input is scaled by sqrt(6) / 20 first"
    assert [path.name for path in source.files] == ["config.json", "sae_weights.safetensors"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "sae_weights.safetensors").rename(tmp_path / "checkpoints/pruned.safetensors")
    assert weights(tmp_path / "config.json") == ["checkpoints/pruned.safetensors"]


def test_configurations_of_other_libraries_are_passed_over(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert find(tmp_path) == {}
    place = write(tmp_path / "L12R")
    assert find(tmp_path) == {12: place}
    write(tmp_path / "L12M", {"hook_point_in": "blocks.12.hook_mlp_out", "hook_point_out": "blocks.12.hook_mlp_out"})
    with pytest.raises(ValueError, match=r"several dictionaries for layer 12 \(L12M/config\.json, L12R/config\.json\)"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sae_type": "lorsa"}, "sae_type 'lorsa' is not read: it replaces attention"),
        ({"sae_type": "molt"}, "sae_type 'molt' is not read: its features write matrices"),
        ({"sae_type": "crosscoder"}, "sae_type 'crosscoder' is not read: it reads several layers"),
        ({"sae_type": "clt"}, "sae_type 'clt' is not read: a cross-layer transcoder in one file"),
        ({"use_glu_encoder": True}, "use_glu_encoder multiplies two encoders"),
        ({"act_fn": "batchtopk"}, "act_fn 'batchtopk' is not read; read are relu, jumprelu, topk"),
        ({"norm_activation": "token-wise"}, "norm_activation 'token-wise' rescales each token"),
        ({"act_fn": "topk", "top_k": F + 1}, "top_k is 10, more than the 9 features"),
        ({"expansion_factor": 2.0}, r"tensor W_E has shape \(6, 9\); the configuration needs \(6, 12\)"),
        ({"hook_point_out": "blocks.13.hook_mlp_out"}, "reads layer 12 .* and writes layer 13"),
        ({"new_switch": True}, "unknown fields new_switch=True"),
    ],
)
def test_refused_configuration(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, changes, published(CONFIG)))


NORM = "dataset_average_activation_norm.blocks.12.hook_resid_post"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("b_D"), "missing: b_D"),
        (lambda t: t.pop("activation_function.log_jumprelu_threshold"), "missing: log_jumprelu_threshold"),
        (lambda t: t.update(W_E_glu=np.zeros((D, F))), "no place in a Llamascopium dictionary: W_E_glu"),
        (lambda t: t.update(W_D=np.zeros((D, F))), r"tensor W_D has shape \(6, 9\); the configuration needs \(9, 6\)"),
        (lambda t: t.pop(NORM), f"sae_weights.safetensors: tensor {NORM} is missing; .* says dataset-wise"),
        (lambda t: t.update({NORM: np.array(0.0)}), f"{NORM} is 0; needs one number above 0"),
        (lambda t: t.update({NORM: np.array(np.nan)}), f"{NORM}: got nan; needs a finite number"),
    ],
)
def test_refused_tensors(tmp_path, change, message):
    tensors = published(CONFIG)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, tensors=tensors))


def test_weights_that_are_not_there(tmp_path):
    place = write(tmp_path)
    (tmp_path / "sae_weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"sae_weights\.safetensors: no such file; download it beside config"):
        open_source(place)
