import hashlib
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, SingleDeviceSharding
from safetensors.numpy import load_file, save_file

import causeway as cw
from causeway.engine.mesh import make_mesh
from causeway.engine.model.forward import next_token_logits
from causeway.ports.models import weights
from causeway.ports.models.llama import save_llama
from causeway.ports.models.load import load_model

Q = "model.layers.1.self_attn.q_proj.weight"


def change_weights(model_dir, change) -> None:
    path = model_dir / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_saved_and_loaded_is_the_same_model(model_dir, transformer, equal_trees):
    model = load_model(model_dir)
    assert model.config == transformer.config
    assert equal_trees(model.transformer, transformer)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_storage_dtype_of_the_file(tmp_path, transformer, dtype):
    save_llama(tmp_path, transformer, dtype=dtype)
    loaded = load_model(tmp_path).transformer
    want = jax.tree.map(lambda a: a.astype(dtype).astype(jnp.float32), transformer)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(want), strict=True))


def test_storage_dtype_in_memory(model_dir):
    model = load_model(model_dir, storage="bfloat16", compute="bfloat16")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(model.transformer)} == {"bfloat16"}
    assert model.numerics.compute == "bfloat16"


def test_loading_draws_no_random_number(model_dir, monkeypatch):
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: jnp.full(shape, jnp.nan))
    leaves = jax.tree.leaves(load_model(model_dir).transformer)
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_fingerprint_is_of_content_and_not_of_place(model_dir, tmp_path, transformer, edit_config):
    first = load_model(model_dir).fingerprint
    save_llama(tmp_path / "elsewhere", transformer)
    assert load_model(tmp_path / "elsewhere").fingerprint == first
    edit_config(transformers_version="5.0.0")
    assert load_model(model_dir).fingerprint == first
    edit_config(rms_norm_eps=1e-3)
    assert load_model(model_dir).fingerprint != first
    change_weights(tmp_path / "elsewhere", lambda t: t[Q].__setitem__((0, 0), 1.0))
    assert load_model(tmp_path / "elsewhere").fingerprint != first


def test_fingerprint_of_weights_that_have_changed_since_is_refused(model_dir, transformer):
    model, early = load_model(model_dir), load_model(model_dir)
    known = early.fingerprint
    change_weights(model_dir, lambda t: t[Q].__setitem__((0, 0), 1.0))
    with pytest.raises(ValueError, match=r"model\.safetensors: has changed since it was loaded"):
        _ = model.fingerprint
    assert early.fingerprint == known


def test_loading_reads_no_file_for_the_fingerprint(model_dir, monkeypatch):
    monkeypatch.setattr(hashlib, "file_digest", lambda *arguments: pytest.fail("a file was hashed"))
    load_model(model_dir)


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("where", ["one device", "whole on all", "split", "split and whole"])
def test_on_any_devices_and_in_any_dtype_the_parameters_are_the_same(model_dir, storage, where):
    shapes = {"whole on all": (4, 1), "split": (1, 2), "split and whole": (2, 2)}
    mesh = make_mesh(*shapes[where]) if where in shapes else None
    placed = load_model(model_dir, storage=storage, sharding=mesh).transformer
    want = jax.tree.map(lambda a: np.asarray(a).astype(storage), load_model(model_dir).transformer)
    for a, b in zip(jax.tree.leaves(placed), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(np.asarray(a).view(np.uint8), b.view(np.uint8))
    if mesh is not None:
        whole = [leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(placed)]
        assert all(whole) == (where == "whole on all")


def test_a_model_split_over_devices_computes_the_same(model_dir):
    mesh = make_mesh(1, 2)
    tokens = jnp.array([[1, 5, 3, 9]])
    split = next_token_logits(load_model(model_dir, sharding=mesh).transformer, tokens)
    np.testing.assert_allclose(split, next_token_logits(load_model(model_dir).transformer, tokens), atol=1e-6)


def test_one_sharding_for_all_parameters(model_dir):
    device = jax.devices()[3]
    leaves = jax.tree.leaves(load_model(model_dir, sharding=SingleDeviceSharding(device)).transformer)
    assert {d for leaf in leaves for d in leaf.devices()} == {device}


def test_a_mesh_with_explicit_axes_is_refused(model_dir):
    mesh = jax.make_mesh((4,), ("model",), axis_types=(AxisType.Explicit,))
    with pytest.raises(ValueError, match=r"sharding: the mesh has axis types .*Explicit.*needs Auto"):
        load_model(model_dir, sharding=mesh)


def test_a_mesh_that_does_not_divide_the_heads_is_refused_before_anything_is_read(model_dir, monkeypatch):
    monkeypatch.setattr(weights, "filled_array", lambda *arguments: pytest.fail("a weight was read"))
    with pytest.raises(ValueError, match=r"mesh: model:4 does not divide the 2 heads of attention\.output; sizes that"):
        load_model(model_dir, sharding=make_mesh(1, 4))


def test_weights_are_not_overwritten_silently(model_dir, transformer):
    with pytest.raises(FileExistsError, match=r"already there.*overwrite=True"):
        save_llama(model_dir, transformer)
    save_llama(model_dir, transformer, overwrite=True)


def test_unknown_dtype_of_the_file(tmp_path, transformer):
    with pytest.raises(ValueError, match=r"dtype: got 'int8'; needs one of float64, float32, float16, bfloat16"):
        save_llama(tmp_path, transformer, dtype="int8")


class TestBadWeights:
    def test_missing_tensor(self, model_dir):
        change_weights(model_dir, lambda t: t.pop(Q))
        with pytest.raises(ValueError, match=f"missing: {Q}"):
            load_model(model_dir)

    def test_misnamed_tensor_is_named_with_its_file(self, model_dir):
        change_weights(model_dir, lambda t: t.update({"modle.q": t.pop(Q)}))
        message = rf"model\.safetensors: 1 .* missing: {Q}; there without a place in it: modle\.q"
        with pytest.raises(ValueError, match=message):
            load_model(model_dir)

    def test_unused_tensor(self, model_dir):
        change_weights(model_dir, lambda t: t.update(surplus=np.zeros(2, np.float32)))
        with pytest.raises(ValueError, match=r"no place .*: surplus"):
            load_model(model_dir)

    def test_fewer_layers_in_the_configuration_than_in_the_file(self, model_dir, edit_config):
        edit_config(num_hidden_layers=1)
        with pytest.raises(ValueError, match=r"9 tensors have no place in a llama of 1 layers: model\.layers\.1"):
            load_model(model_dir)

    def test_wrong_shape_names_file_tensor_and_both_shapes(self, model_dir):
        change_weights(model_dir, lambda t: t.update({Q: np.zeros((8, 9), np.float32)}))
        with pytest.raises(ValueError, match=rf"model\.safetensors: tensor {Q} has shape \(8, 9\).*needs \(8, 8\)"):
            load_model(model_dir)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, model_dir, value):
        change_weights(model_dir, lambda t: t[Q].__setitem__((0, 3), value))
        with pytest.raises(ValueError, match=f"tensor {Q} has 1 of 64 values that are not finite"):
            load_model(model_dir)

    def test_integers(self, model_dir):
        change_weights(model_dir, lambda t: t.update({Q: np.zeros((8, 8), np.int32)}))
        with pytest.raises(ValueError, match=f"tensor {Q} holds int32"):
            load_model(model_dir)

    def test_truncated(self, model_dir):
        path = model_dir / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ValueError, match="not a readable safetensors file"):
            load_model(model_dir)

    def test_rotary_buffers_of_old_files_are_left_out(self, model_dir):
        name = "model.layers.0.self_attn.rotary_emb.inv_freq"
        plain = jax.tree.leaves(load_model(model_dir).transformer)
        change_weights(model_dir, lambda t: t.update({name: np.zeros(2, np.float32)}))
        found = jax.tree.leaves(load_model(model_dir).transformer)
        assert all((one == other).all() for one, other in zip(plain, found, strict=True))

    def test_second_copy_of_tied_embeddings(self, model_dir, edit_config):
        edit_config(tie_word_embeddings=True)
        with pytest.raises(ValueError, match=r"lm_head\.weight differs from model\.embed_tokens\.weight"):
            load_model(model_dir)
        change_weights(model_dir, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}))
        assert load_model(model_dir).config.tied_embeddings


class TestBadConfiguration:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sliding_window": 4, "zeta": 1}, "unknown fields sliding_window=4, zeta=1"),
            ({"model_type": "mamba"}, "model_type is 'mamba'; the families read here are llama"),
            ({"hidden_act": "tanh"}, "field hidden_act is 'tanh'; implemented are silu"),
            ({"hidden_size": None}, "field hidden_size is missing"),
            ({"hidden_size": "8"}, "field hidden_size is '8'; needs int"),
            ({"num_hidden_layers": 0}, "field num_hidden_layers: got 0; needs a whole number from 1"),
            ({"rms_norm_eps": float("nan")}, "field rms_norm_eps: got nan; needs a finite number"),
            ({"rms_norm_eps": -1.0}, "norm_eps: got -1.0; needs 0 or more"),
            ({"rope_parameters": {"rope_theta": 0.0, "rope_type": "default"}}, "rope_theta: got 0.0; needs a base"),
            ({"mlp_bias": 1}, "field mlp_bias is 1; needs bool"),
            ({"num_key_value_heads": 3}, "3 does not divide num_heads = 2"),
            ({"head_dim": None, "num_attention_heads": 3, "num_key_value_heads": 3}, "hidden_size 8 is not a multiple"),
            (
                {"rope_parameters": {"rope_type": "longrope", "factor": 2.0}},
                "longrope.*implemented are default",
            ),
            ({"rope_parameters": {"rope_type": "llama3", "factor": 2.0}}, "field low_freq_factor is missing"),
            ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "extra": 1}}, "unknown fields extra=1"),
            ({"rope_parameters": {"rope_type": "default", "factor": 2.0}}, "a factor without a rope_type"),
            ({"rope_parameters": {"rope_theta": 5.0}, "rope_theta": 6.0}, "rope_theta is 5.0 here and 6.0 beside it"),
            ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_parameters .* and rope_scaling .* disagree"),
        ],
    )
    def test_refused_with_its_name(self, model_dir, edit_config, changes, message):
        edit_config(**changes)
        with pytest.raises(ValueError, match=message):
            load_model(model_dir)

    def test_not_json(self, model_dir):
        (model_dir / "config.json").write_text("{")
        with pytest.raises(ValueError, match=r"config\.json: not JSON"):
            load_model(model_dir)

    def test_no_configuration(self, model_dir):
        (model_dir / "config.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"config\.json: no such file; .* holds model\.safetensors"):
            load_model(model_dir)

    def test_old_file_with_few_fields(self, model_dir, edit_config):
        edit_config(rope_parameters=None, attention_bias=None, mlp_bias=None, head_dim=None, rms_norm_eps=None)
        edit_config(rope_theta=500.0, rope_scaling={"type": "linear", "factor": 4})
        config = load_model(model_dir).config
        assert (config.rope_theta, config.rope_scaling.kind, config.rope_scaling.factor) == (500.0, "linear", 4.0)
        assert (config.head_dim, config.norm_eps, config.attention_bias) == (4, 1e-6, False)


@pytest.mark.parametrize("name", ["storage", "compute", "accumulate"])
def test_unknown_precision(model_dir, name):
    with pytest.raises(ValueError, match=f"{name}: got 'int4'; needs one of float32"):
        load_model(model_dir, **{name: "int4"})


def test_float64_needs_64_bit_mode(model_dir):
    with pytest.raises(ValueError, match="storage: float64 needs jax's 64-bit mode"):
        load_model(model_dir, storage="float64")


def test_no_tokenizer(model_dir):
    model = load_model(model_dir)
    assert model.tokenizer is None
    assert model.tokens([1, 2]) == [1, 2]
    with pytest.raises(ValueError, match="has no tokenizer; give token ids"):
        model.tokens("text")
    with pytest.raises(ValueError, match=r"prepend_bos: got True, but the tokenizer .* has no BOS"):
        load_model(model_dir, prepend_bos=True)


def test_bos_policy_is_recorded(data_dir):
    directory = data_dir / "models" / "stories260K"
    assert load_model(directory).tokens("Once") == [1, 403]
    without = load_model(directory, prepend_bos=False)
    assert without.prepend_bos is False
    assert without.tokens("Once") == [403]


def test_import_is_light_and_lists_its_names():
    code = "import sys, json, causeway; print(json.dumps([n for n in ('jax', 'flax', 'numpy') if n in sys.modules]))"
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == []
    assert set(cw.__all__) <= set(dir(cw))
    assert all(getattr(cw, name) is not None for name in cw.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'; it offers"):
        cw.nonsense  # noqa: B018


@pytest.mark.slow
def test_loading_needs_neither_torch_nor_transformers(model_dir):
    code = f"import sys, causeway; causeway.load_model({str(model_dir)!r}); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


def test_weights_in_8_bits_are_those_of_the_file_rounded(model_dir, transformer, tmp_path):
    loaded = load_model(model_dir, storage="int8")
    down, exact = loaded.transformer.blocks.mlp.down, transformer.blocks.mlp.down[...]
    assert down.values[...].dtype == jnp.int8
    assert (np.abs(down[...] - exact) <= down.scale[...] / 2 * (1 + 1e-6)).all()
    assert loaded.transformer.final_norm.gain[...].dtype == jnp.float32
    assert loaded.fingerprint == load_model(model_dir).fingerprint
    with pytest.raises(ValueError, match="storage: got int8, which no files hold here"):
        cw.save_model(loaded, tmp_path / "out", edits=[cw.UnitEdit(1, 5, 2.0, "scale", stream="mlp_act")])


@pytest.mark.slow
def test_weights_in_8_bits_split_over_a_mesh_are_the_same(model_dir, equal_trees):
    whole = load_model(model_dir, storage="int8").transformer
    split = load_model(model_dir, storage="int8", sharding=make_mesh(1, 2)).transformer
    assert equal_trees(split, whole)
    assert len(split.blocks.mlp.down.values[...].sharding.device_set) == 2


def test_what_no_device_holds_is_refused_before_it_is_read(model_dir, monkeypatch):
    monkeypatch.setattr("causeway.engine.memory.memory_there_bytes", lambda: 1000)
    monkeypatch.setattr("causeway.ports.models.weights.filled_array", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"storage: llama of 2 layers takes .* what would fit: nothing"):
        load_model(model_dir)
