"""GGUF files against the same models in the Hugging Face layout, against the gguf library, and damaged."""

import dataclasses

import gguf
import jax
import numpy as np
import pytest

from causeway.engine.calls.run import run
from causeway.engine.mesh import make_mesh
from causeway.ports.files.gguf_files import GgufFile
from causeway.ports.models.checkpoints import save_checkpoint
from causeway.ports.models.load import load_model
from causeway.ports.models.model_files import files_of
from tests.ports.models.gguf_writer import CONFIGS, byte_level, write_both

SMOLLM = "models/smollm2-135m-instruct"
KINDS = ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


def assert_same(a, b, exact=True):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=0 if exact else 1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_is_the_model_that_the_folder_is(name, tmp_path):
    write_both(name, tmp_path / "folder", tmp_path / "model.gguf")
    ours, theirs = load_model(tmp_path / "model.gguf"), load_model(tmp_path / "folder")
    assert ours.config == theirs.config
    assert_same(ours.transformer, theirs.transformer, exact="gemma" not in name)  # 1 + w is rounded in the file


def test_untied_gpt2(tmp_path):
    write_both("gpt2", tmp_path / "folder", tmp_path / "model.gguf", tie_word_embeddings=False)
    ours, theirs = load_model(tmp_path / "model.gguf"), load_model(tmp_path / "folder")
    assert not ours.config.tied_embeddings
    assert_same(ours.transformer, theirs.transformer)


def test_biases_of_llama(tmp_path):
    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf", attention_bias=True, mlp_bias=True)
    ours, theirs = load_model(tmp_path / "model.gguf"), load_model(tmp_path / "folder")
    assert ours.config.attention_bias
    assert ours.config.mlp_bias
    assert_same(ours.transformer, theirs.transformer)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_stretch_of_llama_3_is_known_by_its_divisors(tmp_path, factor):
    stretch = {
        "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip

    def change(writer, width=16, theta=1e4):
        base = theta ** (-np.arange(0, width, 2) / width)
        length = 2 * np.pi / base
        smooth = np.clip((8192 / length - 1) / 3, 0, 1)
        writer.add_tensor("rope_freqs.weight", (1 / ((1 - smooth) / factor + smooth)).astype(np.float32))

    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf", rope_scaling=stretch, change=change)
    assert load_model(tmp_path / "model.gguf").config == load_model(tmp_path / "folder").config


@pytest.mark.parametrize(("family", "kind", "context", "scaling"), [
    ("llama", gguf.RopeScalingType.LINEAR, None, {"type": "linear", "factor": 4.0}),
    ("qwen2", gguf.RopeScalingType.YARN, 16,
     {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}),
])  # fmt: skip
def test_stretches_that_the_header_names(tmp_path, family, kind, context, scaling):
    def change(writer):
        writer.add_rope_scaling_type(kind)
        writer.add_rope_scaling_factor(4.0)
        if context:
            writer.add_rope_scaling_orig_ctx_len(context)

    write_both(family, tmp_path / "folder", tmp_path / "model.gguf", rope_scaling=scaling, change=change)
    assert load_model(tmp_path / "model.gguf").config == load_model(tmp_path / "folder").config


def test_divisors_of_phi_3(tmp_path):
    short, long = [1.0 + i / 8 for i in range(8)], [2.0 + i / 8 for i in range(8)]

    def change(writer):
        writer.add_rope_scaling_orig_ctx_len(16)
        writer.add_rope_scaling_attn_factors(1.25)
        writer.add_tensor("rope_factors_short.weight", np.array(short, np.float32))
        writer.add_tensor("rope_factors_long.weight", np.array(long, np.float32))

    scaling = {"type": "longrope", "short_factor": short, "long_factor": long, "attention_factor": 1.25}
    changes = {"rope_scaling": scaling, "original_max_position_embeddings": 16}
    write_both("phi3", tmp_path / "folder", tmp_path / "model.gguf", change=change, **changes)
    ours, theirs = load_model(tmp_path / "model.gguf"), load_model(tmp_path / "folder")
    assert ours.config == theirs.config
    assert ours.config.max_position == 16
    assert_same(ours.transformer, theirs.transformer)


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_matrices_are_what_the_library_makes_of_them(kind, tmp_path):
    types = {"blk.1.ffn_up.weight": kind, "blk.0.attn_q.weight": kind}
    tensors = write_both("llama", tmp_path / "folder", tmp_path / "model.gguf", types=types)
    ours = load_model(tmp_path / "model.gguf").transformer
    number = gguf.GGMLQuantizationType[kind]
    rounded = gguf.dequantize(gguf.quantize(tensors["model.layers.1.mlp.up_proj.weight"], number), number)
    np.testing.assert_array_equal(ours.blocks.mlp.up[...][1], rounded.T)
    # A head's rows are quantised in the file's order.
    values = tensors["model.layers.0.self_attn.q_proj.weight"].reshape(4, 2, 8, 64).swapaxes(1, 2).reshape(64, 64)
    rounded = gguf.dequantize(gguf.quantize(values, number), number).reshape(4, 8, 2, 64).swapaxes(1, 2)
    np.testing.assert_array_equal(ours.blocks.attention.query[...][0], rounded.reshape(4, 16, 64).transpose(2, 0, 1))


def test_stored_in_half_precision(tmp_path):
    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf")
    ours, theirs = (load_model(tmp_path / name, storage="bfloat16") for name in ("model.gguf", "folder"))
    assert_same(ours.transformer, theirs.transformer)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_split_over_devices(name, tmp_path):
    mesh = make_mesh(1, 2)
    write_both(name, tmp_path / "folder", tmp_path / "model.gguf", types={"blk.1.ffn_up.weight": "Q8_0"})
    placed, whole = (load_model(tmp_path / "model.gguf", sharding=where).transformer for where in (mesh, None))
    assert not all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(placed))
    assert_same(placed, whole)


def test_what_stands_for_a_file_is_read_up_to_the_size_that_is_asked(tmp_path):
    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf")
    files = files_of(tmp_path / "model.gguf")
    size = len(files.read("config.json"))
    assert files.read("config.json", size) == files.read("config.json")
    with pytest.raises(ValueError, match=rf"its config.json\): has {size} bytes; .* read up to {size - 1} bytes"):
        files.read("config.json", size - 1)


def test_a_folder_with_one_file_is_that_file(tmp_path):
    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf")
    assert load_model(tmp_path).config == load_model(tmp_path / "model.gguf").config


def test_a_converted_file_is_the_same_model(tmp_path):
    write_both("llama", tmp_path / "folder", tmp_path / "model.gguf", change=byte_level)
    model = load_model(tmp_path / "model.gguf")
    save_checkpoint(tmp_path / "converted", model, tmp_path / "model.gguf")
    again = load_model(tmp_path / "converted")
    assert again.config == model.config
    assert_same(again.transformer, model.transformer)
    assert again.tokens("cab<end>") == model.tokens("cab<end>") == [2, 7, 8]
    assert again.own_stops == model.own_stops == (8,)


class TestPackage:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        (tmp_path / "a_package_of_models" / "inner").mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path / "a_package_of_models"

    def test_its_one_file_is_found_without_importing_it(self, package, tmp_path):
        (package / "__init__.py").write_text("raise RuntimeError")
        write_both("llama", tmp_path / "folder", package / "inner" / "model.gguf")
        assert load_model("package:a_package_of_models").config == load_model(tmp_path / "folder").config

    def test_its_one_folder_is_found(self, package):
        write_both("llama", package / "inner" / "model", package.parent / "model.gguf")
        assert load_model("package:a_package_of_models").config.num_layers == 2

    def test_none(self, package):
        with pytest.raises(FileNotFoundError, match="package 'a_package_of_models' holds no GGUF file and no folder"):
            load_model("package:a_package_of_models")

    def test_several(self, package):
        write_both("llama", package / "inner" / "model", package / "model.gguf")
        with pytest.raises(ValueError, match=r"holds 2 models \(inner/model, model.gguf\); give the path of one"):
            load_model("package:a_package_of_models")

    @pytest.mark.parametrize("name", ["nobody_has_this", "no/name", ""])
    def test_no_package(self, name):
        with pytest.raises(FileNotFoundError, match=f"no package {name!r} is installed here"):
            load_model(f"package:{name}")


class TestRefused:
    def test_a_folder_with_several_files(self, tmp_path):
        write_both("llama", tmp_path / "folder", tmp_path / "a.gguf")
        (tmp_path / "b.gguf").write_bytes((tmp_path / "a.gguf").read_bytes())
        with pytest.raises(ValueError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\); name one of them"):
            load_model(tmp_path)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_cut_short(self, tmp_path, share):
        write_both("llama", tmp_path / "folder", tmp_path / "model.gguf")
        content = (tmp_path / "model.gguf").read_bytes()
        (tmp_path / "model.gguf").write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=r"model.gguf: not a readable GGUF file .* bytes on disk"):
            load_model(tmp_path / "model.gguf")

    def test_an_unknown_architecture(self, tmp_path):
        writer = gguf.GGUFWriter(tmp_path / "model.gguf", "mamba")
        writer.add_block_count(1)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(ValueError, match=r"general.architecture is 'mamba'; read here are llama, "):
            load_model(tmp_path / "model.gguf")

    def test_a_key_that_is_missing(self, tmp_path):
        write_both("gemma2", tmp_path / "folder", tmp_path / "m.gguf", leave="head_dim")
        with pytest.raises(ValueError, match=r"m.gguf: not a readable GGUF file of a model \(KeyError: 'head_dim'\)"):
            load_model(tmp_path / "m.gguf")

    def test_a_key_that_changes_the_computation(self, tmp_path):
        write_both("llama", tmp_path / "folder", tmp_path / "m.gguf", change=lambda writer: writer.add_expert_count(8))
        with pytest.raises(ValueError, match="unknown keys expert_count=8; what they change is not known"):
            load_model(tmp_path / "m.gguf")

    def test_a_stretch_that_the_family_does_not_have(self, tmp_path):
        def change(writer):
            writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
            writer.add_rope_scaling_factor(4.0)

        write_both("llama", tmp_path / "folder", tmp_path / "m.gguf", change=change)
        with pytest.raises(ValueError, match=r"rope_type \['longrope'\]; implemented are"):
            load_model(tmp_path / "m.gguf")

    def test_a_number_of_a_stretch_that_is_not_known(self, tmp_path):
        def change(writer):
            writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            writer.add_rope_scaling_factor(4.0)
            writer.add_rope_scaling_yarn_ext_factor(0.5)

        write_both("llama", tmp_path / "folder", tmp_path / "m.gguf", change=change)
        with pytest.raises(ValueError, match=r"unknown keys rope.scaling.yarn_ext_factor=0.5"):
            load_model(tmp_path / "m.gguf")

    def test_divisors_of_another_stretch(self, tmp_path):
        def change(writer):
            writer.add_tensor("rope_freqs.weight", np.full(8, 3, np.float32))

        write_both("llama", tmp_path / "folder", tmp_path / "m.gguf", change=change)
        with pytest.raises(ValueError, match=r"rope_freqs.weight divides rotary frequencies otherwise"):
            load_model(tmp_path / "m.gguf")

    def test_a_tensor_too_many(self, tmp_path):
        def change(writer):
            writer.add_tensor("blk.0.extra.weight", np.ones(8, np.float32))

        write_both("llama", tmp_path / "folder", tmp_path / "m.gguf", change=change)
        with pytest.raises(ValueError, match=r"1 tensors have no place in a llama of 2 layers: blk.0.extra.weight"):
            load_model(tmp_path / "m.gguf")

    def test_a_type_that_the_library_cannot_read(self, tmp_path):
        def change(writer):
            number = gguf.GGMLQuantizationType.Q8_K
            writer.add_tensor("blk.0.x.weight", np.zeros((1, 292), np.uint8), raw_dtype=number)

        write_both("llama", tmp_path / "folder", tmp_path / "m.gguf", change=change)
        with pytest.raises(ValueError, match=r"tensor blk.0.x.weight is of type Q8_K, which the gguf library does not"):
            load_model(tmp_path / "m.gguf")

    def test_tensors_that_overlap(self, tmp_path):
        write_both("llama", tmp_path / "folder", tmp_path / "m.gguf")
        content = bytearray((tmp_path / "m.gguf").read_bytes())
        reader = gguf.GGUFReader(tmp_path / "m.gguf")
        field = reader.tensors[3].field
        place = field.offset + sum(part.nbytes for part in field.parts[:-1])
        content[place : place + 8] = bytes(8)
        (tmp_path / "m.gguf").write_bytes(content)
        with pytest.raises(ValueError, match=r"overlap; \d+ bytes on disk"):
            load_model(tmp_path / "m.gguf")


class TestRealModel:
    @pytest.fixture(scope="class")
    def file(self, request):
        return request.getfixturevalue("data_dir") / SMOLLM

    @pytest.fixture(scope="class")
    def model(self, file):
        return load_model(file)

    def test_its_shape(self, model):
        shape = {"num_layers": 30, "d_model": 576, "num_heads": 9, "num_kv_heads": 3, "vocab_size": 49152}
        assert shape.items() <= dataclasses.asdict(model.config).items()
        assert model.config.tied_embeddings
        assert model.config.rope_theta == 1e5
        assert not model.prepend_bos

    def test_its_tokens(self, model):
        assert model.tokens("Hello world! 123") == [19556, 905, 17, 216, 33, 34, 35]
        assert model.tokens("  multiple   spaces") == [216, 2701, 256, 5600]
        assert model.tokens("<|im_start|>user\n") == [1, 4093, 198]

    def test_logits_equal_plain_numpy(self, model, file):
        tokens = model.tokens("The capital of France is")
        logits = np.asarray(run(model, [tokens]).logits[0])
        expected = plain_logits(GgufFile(next(file.glob("*.gguf"))), tokens)
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())

    @pytest.mark.parametrize(
        ("text", "answer", "probability"),
        [("The capital of France is", " Paris", 0.77), ("The opposite of hot is", " cold", 0.68)],
    )
    def test_it_knows(self, model, text, answer, probability):
        logits = np.asarray(run(model, [text]).logits[0][-1], np.float64)
        found = np.exp(logits - logits.max())
        found /= found.sum()
        assert model.tokenizer.decode([int(found.argmax())]) == answer
        assert found.max() == pytest.approx(probability, abs=0.01)


def plain_logits(file, tokens):
    """A LLaMA in the file's own layout: neighbouring rows of a head turn together."""
    w = {name: tensor.read() for name, tensor in file.tensors.items()}
    heads, groups, width = 9, 3, 64
    angles = np.arange(len(tokens))[:, None] * 1e5 ** (-np.arange(0, width, 2) / width)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def norm(x, gain):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * gain

    def turn(x):
        even, odd = x[..., 0::2], x[..., 1::2]
        return np.stack([even * cos - odd * sin, odd * cos + even * sin], -1).reshape(x.shape)

    x = w["token_embd.weight"][tokens].astype(np.float64)
    for layer in range(30):
        block = {n: w[f"blk.{layer}.{n}.weight"] for n in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate")}
        h = norm(x, w[f"blk.{layer}.attn_norm.weight"])
        q, k, v = (turned.reshape(len(tokens), -1, width) for turned in (h @ block[f"attn_{c}"].T for c in "qkv"))
        q, k, v = turn(q), np.repeat(turn(k), heads // groups, 1), np.repeat(v, heads // groups, 1)
        scores = np.einsum("thk,shk->hts", q, k) / 8
        scores[:, np.triu(np.ones((len(tokens), len(tokens)), bool), 1)] = -np.inf
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        x = x + np.einsum("hts,shk->thk", pattern, v).reshape(len(tokens), -1) @ block["attn_output"].T
        h = norm(x, w[f"blk.{layer}.ffn_norm.weight"])
        gate = h @ block["ffn_gate"].T
        x = (
            x
            + (gate / (1 + np.exp(-gate)) * (h @ w[f"blk.{layer}.ffn_up.weight"].T))
            @ w[f"blk.{layer}.ffn_down.weight"].T
        )
    return norm(x, w["output_norm.weight"]) @ w["token_embd.weight"].T
