"""Llama Scope against its own definition, written out in numpy float64 under each reading of its threshold."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.dictionary import take
from causeway.ports.dictionaries import llama_scope
from causeway.ports.dictionaries.llama_scope import find, hub_reference, open_source, weights
from causeway.ports.dictionaries.load import load_dictionaries
from tests.ports.dictionary_files import dictionary_of, save_tensors

D, F = 6, 10
# As published for layer 24, with the widths changed.
PUBLISHED = {
    "device": "cuda:0", "seed": 42, "dtype": "torch.bfloat16", "hook_point_in": "blocks.24.hook_resid_post",
    "hook_point_out": "blocks.24.hook_resid_post", "use_decoder_bias": True,
    "apply_decoder_bias_to_pre_encoder": False, "expansion_factor": 32, "d_model": D, "d_sae": F,
    "bias_init_method": "all_zero", "act_fn": "jumprelu", "jump_relu_threshold": 0.75390625,
    "norm_activation": "dataset-wise", "dataset_average_activation_norm": {"in": 29.125, "out": 29.125},
    "decoder_exactly_fixed_norm": False, "sparsity_include_decoder_norm": True, "use_glu_encoder": False,
    "init_decoder_norm": 0.5, "init_encoder_norm": None, "init_encoder_with_decoder_transpose": True, "lp": 1,
    "l1_coefficient": 8e-05, "l1_coefficient_warmup_steps": 78125, "top_k": 50, "k_warmup_steps": 78125,
    "use_batch_norm_mse": True, "use_ghost_grads": False, "tp_size": 1, "ddp_size": 1,
}  # fmt: skip
TRANSCODER = PUBLISHED | {
    "hook_point_in": "blocks.8.ln2.hook_normalized", "hook_point_out": "blocks.8.hook_mlp_out",
    "dataset_average_activation_norm": {"in": 64.0, "out": 3.390625}, "jump_relu_threshold": 0.104,
}  # fmt: skip
RNG = np.random.default_rng(0)
TENSORS = {
    "encoder.weight": RNG.normal(size=(F, D)), "encoder.bias": RNG.normal(size=F),
    "decoder.weight": RNG.normal(size=(D, F)), "decoder.bias": RNG.normal(size=D),
}  # fmt: skip


def write(folder, changes=None, tensors=None, name="final"):
    config = PUBLISHED | (changes or {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hyperparams.json").write_text(json.dumps(config))
    save_tensors(folder / f"checkpoints/{name}.safetensors", TENSORS if tensors is None else tensors)
    return folder / "hyperparams.json"


def definition(config, tensors, x, gating):
    """(feature values, reconstruction): scaled in, gated as a reading has it, scaled out."""
    norms = config["dataset_average_activation_norm"]
    s_in, s_out = math.sqrt(D) / norms["in"], math.sqrt(D) / norms["out"]
    bias = tensors.get("decoder.bias", np.zeros(D))
    xn = x * s_in - (bias if config["apply_decoder_bias_to_pre_encoder"] else 0)
    p = xn @ tensors["encoder.weight"].T + tensors["encoder.bias"]
    t = config["jump_relu_threshold"]
    if gating == "study" or config["act_fn"] == "relu":
        on = p > 0
    elif gating == "saelens_compat":
        on = p > t * s_in
    else:
        # OpenMOSS' own fold: raw pre-activations and a decoder that carries both scales.
        folded = tensors["decoder.weight"] * s_in / s_out
        norm = np.linalg.norm(folded, axis=0) if config["sparsity_include_decoder_norm"] else 1
        on = p / s_in * norm > t
    f = p * on
    return f, (f @ tensors["decoder.weight"].T + bias) / s_out


@pytest.mark.parametrize("gating", ["inferred", "saelens_compat", "study"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        TRANSCODER,
        {"apply_decoder_bias_to_pre_encoder": True},
        {"use_decoder_bias": False},
        {"sparsity_include_decoder_norm": False, "jump_relu_threshold": 3.5},
        {"act_fn": "relu"},
    ],
    ids=["published", "transcoder", "centred", "no decoder bias", "norm left out", "relu"],
)
def test_every_fold_is_exact(tmp_path, changes, gating):
    config = PUBLISHED | changes
    tensors = {n: t for n, t in TENSORS.items() if n != "decoder.bias" or config["use_decoder_bias"]}
    source = open_source(write(tmp_path, changes, tensors), gating=gating)
    x = np.random.default_rng(1).normal(size=(200, D)) * 20
    features, reconstruction = definition(config, tensors, x, gating)
    assert 0.02 < (features != 0).mean() < 0.98
    with jax.enable_x64(True):
        dictionary = dictionary_of(source, np.float64)
        ours = dictionary.encode(jnp.asarray(x))
        np.testing.assert_allclose(ours, features, atol=1e-9)
        np.testing.assert_allclose(dictionary.decode(ours), reconstruction, atol=1e-9)


def test_readings_differ_where_decoder_rows_are_not_of_norm_one(tmp_path):
    place = write(tmp_path)
    thresholds = {g: open_source(place, gating=g).arrays["threshold"].whole() for g in ("inferred", "saelens_compat")}
    assert not np.isclose(thresholds["inferred"], thresholds["saelens_compat"]).any()
    assert "threshold" not in open_source(place, gating="study").arrays


def test_a_feature_at_its_threshold_is_off(tmp_path):
    """Numbers that no rounding touches: scale 1, rows of norm 2, threshold 3."""
    tensors = {n: np.zeros_like(t) for n, t in TENSORS.items()}
    tensors["encoder.weight"][:2, 0] = 1
    tensors["decoder.weight"][0] = 2
    norms = {"dataset_average_activation_norm": {"in": math.sqrt(D), "out": math.sqrt(D)}, "jump_relu_threshold": 3.0}
    tensors["encoder.bias"][1] = 2.0**-40
    source = open_source(write(tmp_path, norms, tensors))
    with jax.enable_x64(True):
        values = dictionary_of(source, np.float64).encode(jnp.eye(D, dtype=jnp.float64)[0] * 1.5)
    np.testing.assert_array_equal(values[:3], [0, 1.5 + 2.0**-40, 0])


@pytest.mark.parametrize("row", [0, 1e-20])
@pytest.mark.parametrize("storage", ["float32", "bfloat16", "float16"])
def test_a_row_of_nothing_never_fires(tmp_path, storage, row):
    """And does not keep a dictionary from being loaded, in any dtype."""
    tensors = {n: t.copy() for n, t in TENSORS.items()}
    tensors["decoder.weight"][:, 3] = row
    tensors["encoder.weight"][3] = 1
    write(tmp_path, tensors=tensors)
    stack = load_dictionaries(tmp_path, storage=storage)
    values = take(stack, 0).encode(jnp.full((4, D), 1e3, jnp.float32))
    assert values.any()
    assert not values[:, 3].any()
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("changes", "place", "scale"),
    [
        ({}, (24, "resid_post", "resid_post"), "as trained: the input is scaled by sqrt(6) / 29.125 first"),
        (TRANSCODER, (8, "mlp_norm", "mlp_out"), "as trained: the input is scaled by sqrt(6) / 64 first"),
        ({"norm_activation": "inference"}, (24, "resid_post", "resid_post"), "raw"),
    ],
)
def test_place_and_scale(tmp_path, changes, place, scale):
    source = open_source(write(tmp_path, changes))
    assert (source.layer, source.config.stream, source.config.output_stream) == place
    assert source.value_scale == scale
    assert (source.num_features, source.d_in, source.d_out) == (F, D, D)


def test_files_beside_it(tmp_path):
    place = write(tmp_path / "a", name="pruned")
    assert weights(place) == ["checkpoints/pruned.safetensors"]
    (tmp_path / "a" / "lm_config.json").write_text('{"model_name": "meta-llama/Llama-3.1-8B"}')
    source = open_source(place)
    assert source.model_name == "meta-llama/Llama-3.1-8B"
    assert [path.name for path in source.files] == ["hyperparams.json", "pruned.safetensors"]
    assert weights(tmp_path / "b" / "hyperparams.json") == ["checkpoints/final.safetensors"]


def test_layers_are_found_once(tmp_path):
    places = {
        layer: write(tmp_path / str(layer), {"hook_point_in": h, "hook_point_out": h})
        for layer, h in ((3, "blocks.3.hook_resid_post"), (11, "blocks.11.hook_resid_post"))
    }
    assert find(tmp_path) == places
    write(tmp_path / "mlp", {"hook_point_in": "blocks.3.hook_mlp_out", "hook_point_out": "blocks.3.hook_mlp_out"})
    with pytest.raises(ValueError, match=r"several dictionaries for layer 3 \(3/hyperparams.json, mlp/hyperparams"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("fnlp/Llama3_1-8B-Base-L15R-8x", "fnlp/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L15R-8x"),
        ("OpenMOSS-Team/Llama3_1-8B-Base-L8TC-32x@v1",
         "OpenMOSS-Team/Llama3_1-8B-Base-LXTC-32x/Llama3_1-8B-Base-L8TC-32x@v1"),
        ("fnlp/Llama3_1-8B-Base-LXR-8x", "fnlp/Llama3_1-8B-Base-LXR-8x"),
        ("org/other", "org/other"),
    ],
)  # fmt: skip
def test_short_names(short, full):
    assert hub_reference(short) == full


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_glu_encoder": True}, "use_glu_encoder multiplies two encoders"),
        ({"act_fn": "topk"}, "act_fn 'topk' is not read; read are jumprelu and relu"),
        ({"norm_activation": "token-wise"}, "norm_activation 'token-wise' rescales each token"),
        ({"dataset_average_activation_norm": {"in": 3}}, "dataset_average_activation_norm.out is None; needs a number"),
        ({"dataset_average_activation_norm": {"in": 0, "out": 1}}, "dataset_average_activation_norm.in is 0"),
        ({"hook_point_out": "blocks.25.hook_resid_post"}, "reads layer 24 .* and writes layer 25"),
        ({"hook_point_in": "blocks.24.hook_odd"}, "hook_point_in, hook_point_out: site: cannot read"),
        ({"hook_point_in": "blocks.2.attn.hook_pattern"}, "no stream of one vector a position"),
        ({"brand_new": 1}, "unknown fields brand_new=1"),
        ({"d_sae": None}, "field d_sae is missing"),
        ({"sparsity_include_decoder_norm": None}, "field sparsity_include_decoder_norm is missing"),
        ({"apply_decoder_bias_to_pre_encoder": None}, "field apply_decoder_bias_to_pre_encoder is missing"),
        ({"use_decoder_bias": False, "apply_decoder_bias_to_pre_encoder": True}, "needs a decoder bias"),
        ({"d_sae": F + 1}, r"tensor encoder.weight has shape \(10, 6\); the configuration needs \(11, 6\)"),
    ],
)
def test_refused_configuration(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("encoder.bias"), "missing: encoder.bias"),
        (
            lambda t: t.update({"encoder_glu.weight": np.zeros((F, D))}),
            "no place in a Llama Scope .*: encoder_glu.weight",
        ),
        (
            lambda t: t.update({"decoder.weight": np.zeros((F, D))}),
            r"final.safetensors: tensor decoder.weight has shape",
        ),
    ],
)
def test_refused_tensors(tmp_path, change, message):
    tensors = dict(TENSORS)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path, tensors=tensors))


def test_values_not_finite_are_named_when_they_are_read(tmp_path):
    tensors = {n: t.copy() for n, t in TENSORS.items()}
    tensors["decoder.weight"][2, 7] = np.nan
    arrays = open_source(write(tmp_path, tensors=tensors)).arrays
    arrays["W_dec"].read(0, 7)
    for name in ("W_dec", "threshold"):
        with pytest.raises(ValueError, match=r"final\.safetensors: tensor decoder\.weight has 1 of .* not finite"):
            arrays[name].read(7, 8)


def test_unknown_gating_and_absent_weights(tmp_path):
    place = write(tmp_path)
    with pytest.raises(ValueError, match="gating: got 'guess'; needs one of inferred, saelens_compat, study"):
        open_source(place, gating="guess")
    (tmp_path / "checkpoints/final.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"final\.safetensors: no such file; download it"):
        open_source(place)
    (tmp_path / "checkpoints/final.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="a git-LFS pointer"):
        open_source(place)


def test_norms_need_no_more_than_a_block_of_rows(tmp_path, monkeypatch):
    """A whole vector of thresholds is read without a whole decoder."""
    monkeypatch.setattr("causeway.ports.dictionaries.feature_folds.BLOCK", 4)
    place = write(tmp_path)
    tensors = llama_scope.open_file(tmp_path / "checkpoints/final.safetensors")
    widths, decoder = [], TENSORS["decoder.weight"]

    def read_slice(self, start, stop, axis=0):
        widths.append(stop - start)
        return decoder.take(range(start, stop), axis)

    monkeypatch.setattr(type(tensors["decoder.weight"]), "read_slice", read_slice)
    expected = 0.75390625 * math.sqrt(D) / 29.125 / np.linalg.norm(decoder, axis=0)
    np.testing.assert_allclose(open_source(place).arrays["threshold"].whole(), expected)
    assert widths == [4, 4, 2]
