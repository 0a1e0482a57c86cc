"""SAELens configurations of every version: places, migrations, what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.ports.dictionaries.saelens import find, open_source
from tests.ports.dictionaries import test_saelens
from tests.ports.dictionaries.test_saelens import METADATA, OUT, TRANSCODES, V6, D, F, arrays, read_folder

V5 = {
    "d_in": D, "d_sae": F, "dtype": "torch.float32", "device": "cuda", "architecture": "standard",
    "hook_point": "blocks.3.hook_resid_post", "hook_point_layer": 3, "hook_point_head_index": None,
    "model_name": "m", "activation_fn_str": "relu", "activation_fn_kwargs": {}, "l1_coefficient": 5,
    "finetuning_scaling_factor": False, "normalize_activations": False, "sae_lens_training_version": "3.1.0",
}  # fmt: skip


def write(folder, config: dict, tensors: dict | None = None) -> None:
    test_saelens.write(folder, config, arrays("standard") if tensors is None else tensors)


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
    write(tmp_path / "a", V6 | {"metadata": METADATA | {"hook_name": hook}})
    config = read_folder(tmp_path / "a", jnp.dtype("float32")).config
    assert (config.layers, config.stream) == ((layer,), stream)
    assert find(tmp_path) == {layer: tmp_path / "a" / "cfg.json"}


def test_folders_are_found_by_their_layers(tmp_path):
    for layer in (4, 1):
        write(tmp_path / f"x{layer}", V6 | {"metadata": METADATA | {"hook_name": f"blocks.{layer}.hook_mlp_out"}})
    write(tmp_path / "old", V5)
    (tmp_path / "layers.2").mkdir()
    (tmp_path / "layers.2" / "cfg.json").write_text(json.dumps({"d_in": 4, "expansion_factor": 2, "k": 3}))
    assert list(find(tmp_path)) == [1, 3, 4]
    write(tmp_path / "again", V6 | {"metadata": METADATA | {"hook_name": "blocks.4.hook_resid_post"}})
    with pytest.raises(ValueError, match=r"several dictionaries for layer 4 \(again/cfg.json, x4/cfg.json\)"):
        find(tmp_path)


def test_what_the_file_says_of_its_training_is_its_card(tmp_path):
    write(tmp_path, V6 | {"metadata": METADATA | {"context_size": 128, "prepend_bos": True, "seqpos_slice": None}})
    source = open_source(tmp_path / "cfg.json")
    assert source.card == {"context_size": 128, "prepend_bos": True, "sae_lens_version": "6.54.12"}
    assert (source.model_name, source.value_scale, source.num_features) == ("m", "raw", F)


class TestModelsThatWereProcessed:
    """What the model was changed by before the dictionary saw its streams."""

    def write(self, folder, stream="hook_resid_pre", kwargs=None, **changes):
        metadata = {"hook_name": f"blocks.3.{stream}", "model_from_pretrained_kwargs": kwargs}
        write(folder, V6 | {"apply_b_dec_to_input": True} | changes | {"metadata": METADATA | metadata})

    @pytest.mark.parametrize("stream", ["hook_resid_pre", "hook_resid_post", "hook_mlp_out", "hook_attn_out"])
    @pytest.mark.parametrize("norm", ["none", "layer_norm"])
    def test_a_centred_stream_is_the_raw_one_less_its_mean(self, tmp_path, stream, norm):
        for name, kwargs in (("plain", {}), ("centred", {"center_writing_weights": True})):
            self.write(tmp_path / name, stream, kwargs, normalize_activations=norm)
        plain, centred = (read_folder(tmp_path / name, np.float32) for name in ("plain", "centred"))
        x = np.random.default_rng(0).normal(size=(20, D)).astype(np.float32) + 3
        expected = plain.encode(jnp.asarray(x - x.mean(axis=-1, keepdims=True)))
        np.testing.assert_allclose(centred.encode(jnp.asarray(x)), expected, atol=1e-5)
        assert open_source(tmp_path / "centred" / "cfg.json").value_scale.startswith("as trained: the input is the")

    def test_streams_that_centring_does_not_reach_are_as_they_were(self, tmp_path):
        self.write(tmp_path, "mlp.hook_post", {"center_writing_weights": True, "fold_ln": True, "n_devices": 2})
        source = open_source(tmp_path / "cfg.json")
        np.testing.assert_array_equal(source.arrays["W_enc"].whole(), arrays("standard")["W_enc"])
        assert not source.centred

    @pytest.mark.parametrize(
        ("stream", "kwargs", "changes", "message"),
        [
            ("attn.hook_z", {"fold_value_biases": True}, {"reshape_activations": "hook_z"}, "which changes head_out"),
            ("hook_resid_pre", {"new_processing": 1}, {}, "new_processing is 1, which changes resid_pre"),
            ("hook_resid_pre", [1], {}, r"model_from_pretrained_kwargs is \[1\]; needs an object"),
            (
                "hook_resid_pre",
                {"center_writing_weights": True},
                {"normalize_activations": "constant_norm_rescale"},
                "has no exact fold",
            ),
        ],
    )
    def test_refused(self, tmp_path, stream, kwargs, changes, message):
        self.write(tmp_path, stream, kwargs, **changes)
        with pytest.raises(ValueError, match=message) as caught:
            open_source(tmp_path / "cfg.json")
        assert "\n" not in str(caught.value)

    def test_corrections_of_the_registry_go_where_the_version_keeps_them(self, tmp_path):
        correction = {"model_from_pretrained_kwargs": {"center_writing_weights": True}, "context_size": 64}
        for name, config in (("old", V5), ("new", V6)):
            write(tmp_path / name, config)
            source = open_source(tmp_path / name / "cfg.json", config_overrides=correction)
            assert source.centred
            assert source.card["context_size"] == 64


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
        write(tmp_path, V5 | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}})
        config = read_folder(tmp_path, jnp.dtype("float32")).config
        assert (config.kind, config.k) == ("topk", 4)

    def test_true_meant_the_average_norm(self, tmp_path):
        write(tmp_path, V5 | {"normalize_activations": True})
        source = open_source(tmp_path / "cfg.json", norm_scaling_factor=2.0)
        np.testing.assert_array_equal(source.arrays["W_enc"].whole(), 2.0 * arrays("standard")["W_enc"])

    def test_how_it_was_trained_changes_nothing(self, tmp_path):
        training = {
            "finetuning_tokens": 0, "finetuning_method": None, "hook_eval": "NOT_IN_USE", "model_kwargs": {},
            "sequence_separator_token": "bos", "output_path": "output",
        }  # fmt: skip
        for name, config in (("plain", V5), ("more", V5 | training)):
            write(tmp_path / name, config)
        plain, more = (open_source(tmp_path / name / "cfg.json") for name in ("plain", "more"))
        assert plain.config == more.config
        for name, array in plain.arrays.items():
            np.testing.assert_array_equal(array.whole(), more.arrays[name].whole())

    def test_heads_needed_no_mention(self, tmp_path):
        write(tmp_path, V5 | {"hook_point": "blocks.3.attn.hook_z"})
        assert open_source(tmp_path / "cfg.json").config.stream == "head_out"

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
        write(tmp_path / "plain", V5, arrays("standard"))
        write(tmp_path / "ones", V5, arrays("standard") | {"scaling_factor": np.ones(F, np.float32)})
        plain, ones = (read_folder(tmp_path / name, jnp.dtype("float32")) for name in ("plain", "ones"))
        for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
            np.testing.assert_array_equal(getattr(ones, name)[...], getattr(plain, name)[...])

    def test_scaling_factor_of_unknown_use_is_refused(self, tmp_path):
        write(tmp_path, V5, arrays("standard") | {"scaling_factor": np.full(F, 2, np.float32)})
        with pytest.raises(ValueError, match=r"scaling_factor is not all ones, but .*cfg\.json does not set"):
            open_source(tmp_path / "cfg.json")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"activation_fn_str": "tanh-relu"}, "activation_fn 'tanh-relu' is not read"),
            ({"normalize_activations": True}, "needs the factor that inputs are scaled by"),
            ({"hook_point": "blocks.3.attn.hook_z", "hook_point_head_index": 2}, "hook_head_index is 2"),
            ({"brand_new": 1}, "unknown fields brand_new=1"),
            ({"metadata": [1]}, r"cfg\.json: field metadata is \[1\]; needs an object"),
        ],
    )
    def test_refused(self, tmp_path, changes, message):
        write(tmp_path, V5 | changes)
        with pytest.raises(ValueError, match=message):
            open_source(tmp_path / "cfg.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "temporal"}, "'temporal' is not read: its features depend on earlier tokens"),
        ({"architecture": "batchtopk"}, r"'batchtopk' is not read: it is a training checkpoint; export it .*jumprelu"),
        ({"architecture": "brand_new"}, "'brand_new' is not read; read are standard, gated, jumprelu"),
        ({"architecture": "topk"}, "field k is missing"),
        ({"architecture": "topk", "k": F + 1}, "k = 11 is more than d_sae = 10"),
        ({"normalize_activations": "expected_average_only_in"}, r"needs the factor .* pass norm_scaling_factor="),
        ({"normalize_activations": "constant_scalar_rescale"}, "is not read; read are none, layer_norm"),
        ({"reshape_activations": "hook_z"}, "hook_z goes with an SAE of attn.hook_z"),
        ({"reshape_activations": "flat"}, "reshape_activations 'flat'"),
        ({"new_switch": True}, "unknown fields new_switch=True"),
        ({"d_in": None}, "field d_in is missing"),
        ({"metadata": {"sae_lens_version": "6.0.0"}}, "hook_name is None"),
        ({"metadata": METADATA | {"hook_name": "blocks.3.hook_odd"}}, "hook_name: site: cannot read"),
        ({"metadata": METADATA | {"hook_name": "blocks.3.attn.hook_pattern"}}, "no stream of one vector a position"),
        ({"metadata": METADATA | {"hook_name_out": "blocks.3.hook_mlp_out"}}, "every other architecture the same"),
        (TRANSCODES | {"architecture": "transcoder", "apply_b_dec_to_input": True}, "b_dec belongs to its output"),
        ({"architecture": "transcoder", "d_out": OUT}, "a transcoder writes another hook"),
        (
            TRANSCODES | {"architecture": "transcoder", "normalize_activations": "covariance_whitening"},
            "has no exact fold",
        ),
        (
            TRANSCODES
            | {"architecture": "transcoder", "metadata": METADATA | {"hook_name_out": "blocks.4.hook_mlp_out"}},
            "reads layer 3 .* and writes layer 4",
        ),
    ],
)
def test_refused_configuration(tmp_path, changes, message):
    write(tmp_path, V6 | changes, arrays("standard"))
    with pytest.raises(ValueError, match=message) as caught:
        open_source(tmp_path / "cfg.json")
    assert "\n" not in str(caught.value)
    assert "cfg.json" in str(caught.value)
