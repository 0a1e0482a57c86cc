"""Logits of loaded models of every family against Hugging Face's own implementation, in float32 and float64.

Tiny random models of every variant are made with torch, saved the way Hugging Face saves them, and loaded back. Without
torch, two stored LLaMAs (configuration, weights, tokens and torch's logits) stand in. Regenerate them with torch
installed, from the repository root, by

    python -P tests/ports/models/test_family_parity.py

which overwrites tests/goldens/llama_*.npz.
"""

import json
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from causeway.engine.model.forward import next_token_logits
from causeway.ports.models.load import load_model

SHAPE = {"vocab_size": 48, "num_hidden_layers": 3, "max_position_embeddings": 64}
WIDE = SHAPE | {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4}
GPT2 = {"vocab_size": 48, "n_layer": 3, "n_positions": 64, "n_embd": 16, "n_head": 4}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 1000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16,
    "beta_fast": 8.0, "beta_slow": 1.0,
}  # fmt: skip
LONG = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.1, 2.0], "long_factor": [3.0, 4.0],
    "original_max_position_embeddings": 48,
}  # fmt: skip
BASES = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", GPT2),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", WIDE | {"num_key_value_heads": 2, "head_dim": 6}),
    "llama": ("LlamaConfig", "LlamaForCausalLM", WIDE | {"num_key_value_heads": 2}),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", WIDE | {"hidden_size": 32}),
    "gemma2": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        WIDE | {"num_key_value_heads": 2, "head_dim": 6, "sliding_window": 5, "query_pre_attn_scalar": 9},
    ),
    "gemma3": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        WIDE
        | {
            "num_hidden_layers": 6,
            "num_key_value_heads": 2,
            "head_dim": 6,
            "sliding_window": 5,
            "query_pre_attn_scalar": 9,
        },
    ),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", WIDE | {"num_key_value_heads": 2}),
    "mistral": ("MistralConfig", "MistralForCausalLM", WIDE | {"num_key_value_heads": 2, "sliding_window": 5}),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", WIDE | {"num_key_value_heads": 2, "pad_token_id": None}),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM", WIDE | {"num_key_value_heads": 2}),
}
VARIANTS = {
    "gpt2": {
        "plain": {}, "n_inner": {"n_inner": 20}, "gelu": {"activation_function": "gelu"},
        "relu": {"activation_function": "relu"}, "untied": {"tie_word_embeddings": False},
        "norm_eps": {"layer_norm_epsilon": 0.1},
    },
    "qwen3": {
        "tied": {"tie_word_embeddings": True}, "untied": {}, "mha": {"num_key_value_heads": 4},
        "attention_bias": {"attention_bias": True}, "rope_llama3": {"rope_parameters": LLAMA3},
        "wide heads": {"head_dim": 10}, "norm_eps": {"rms_norm_eps": 0.1},
        "sliding": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    },
    "llama": {
        "mha": {"num_key_value_heads": 4}, "gqa": {}, "mqa": {"num_key_value_heads": 1},
        "tied": {"tie_word_embeddings": True}, "attention_bias": {"attention_bias": True},
        "mlp_bias": {"mlp_bias": True}, "biases": {"attention_bias": True, "mlp_bias": True},
        "rope_linear": {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
        "rope_llama3": {"rope_parameters": LLAMA3},
        "rope_theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        "head_dim": {"head_dim": 6}, "norm_eps": {"rms_norm_eps": 0.1},
        "all": {
            "head_dim": 10, "attention_bias": True, "tie_word_embeddings": True, "rope_parameters": LLAMA3,
        },
    },
    "gpt_neox": {
        "plain": {}, "sequential": {"use_parallel_residual": False}, "tied": {"tie_word_embeddings": True},
        "whole heads": {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 1.0}},
        "half": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        "gelu_new": {"hidden_act": "gelu_new"},
        "no turning": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.1}},
    },
    "gemma2": {
        "plain": {}, "no caps": {"attn_logit_softcapping": None, "final_logit_softcapping": None},
        "tight caps": {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 0.5},
        "mha": {"num_key_value_heads": 4},
        "one window": {"layer_types": ["full_attention"] * 2 + ["sliding_attention"]},
        "attention_bias": {"attention_bias": True},
    },
    "gemma3": {
        "plain": {}, "attention_bias": {"attention_bias": True},
        "one base": {"rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e4},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }},
        "other layers": {"layer_types": ["full_attention", "sliding_attention"] * 3},
        "cap": {"final_logit_softcapping": 0.5},
    },
    "qwen2": {
        "plain": {}, "tied": {"tie_word_embeddings": True}, "yarn": {"rope_parameters": YARN},
        "sliding": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    },
    "mistral": {"plain": {}, "no window": {"sliding_window": None}, "wide heads": {"head_dim": 10}},
    "phi3": {
        "plain": {}, "window": {"sliding_window": 5}, "tied": {"tie_word_embeddings": True},
        "half of a head": {
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
        },
        "long": {"rope_parameters": LONG, "original_max_position_embeddings": 48, "max_position_embeddings": 96},
    },
    "olmo2": {"plain": {}, "attention_bias": {"attention_bias": True}, "mha": {"num_key_value_heads": 4}},
}  # fmt: skip
CASES = [(family, variant) for family in VARIANTS for variant in VARIANTS[family]]
STORED = ("gqa", "all")
GOLDENS = Path(__file__).resolve().parents[2] / "goldens"
# In a fast run two of each family: the plainest, and the one with most of its own.
FAST = {
    ("gpt2", "plain"), ("gpt2", "untied"), ("qwen3", "tied"), ("qwen3", "sliding"), ("llama", "rope_llama3"),
    ("llama", "biases"), ("gpt_neox", "plain"), ("gpt_neox", "sequential"), ("gpt_neox", "no turning"),
    ("gemma2", "plain"), ("gemma2", "one window"), ("gemma3", "plain"), ("qwen2", "plain"), ("qwen2", "yarn"),
    ("mistral", "plain"), ("phi3", "plain"), ("phi3", "long"), ("olmo2", "plain"),
}  # fmt: skip
SOME = [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in CASES]


def make(family: str, directory: Path, **changes):
    """A random torch model in float64, every parameter random (norm gains and biases too), saved into `directory`."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import transformers

    config_class, model_class, base = BASES[family]
    config = getattr(transformers, config_class)(**(base | changes), attn_implementation="eager")
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config).eval().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(directory)
    return model


def torch_logits(model, tokens: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(tokens)).logits.numpy()


TOKENS = np.random.default_rng(1).integers(0, 48, (2, 40))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "variant"), CASES)
def test_logits_equal_torch(family, variant, tmp_path):
    reference = make(family, tmp_path, **VARIANTS[family][variant])
    single = next_token_logits(load_model(tmp_path).transformer, jnp.asarray(TOKENS))
    np.testing.assert_allclose(single, torch_logits(reference.float(), TOKENS), atol=1e-4, rtol=1e-4)


@pytest.fixture
def everything_double(monkeypatch):
    """transformers computes norms, softmax and rotary angles in float32 always; here its float is double."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize(("family", "variant"), SOME)
def test_float64_logits_equal_torch(family, variant, tmp_path, everything_double):
    reference = make(family, tmp_path, **VARIANTS[family][variant])
    with jax.enable_x64(True):
        model = load_model(tmp_path, storage="float64", compute="float64", accumulate="float64")
        logits = next_token_logits(model.transformer, jnp.asarray(TOKENS))
    np.testing.assert_allclose(logits, torch_logits(reference, TOKENS), atol=1e-9)


def test_capp_gpt_equals_torch(data_dir):
    pytest.importorskip("torch", reason="torch is not installed")
    from transformers import GPT2LMHeadModel

    directory = data_dir / "models" / "capp-gpt"
    model = load_model(directory)
    tokens = np.random.default_rng(0).integers(0, 53, (2, 60))
    reference = torch_logits(GPT2LMHeadModel.from_pretrained(directory).eval(), tokens)
    np.testing.assert_allclose(next_token_logits(model.transformer, jnp.asarray(tokens)), reference, atol=1e-4)


def test_published_names_of_gpt2_have_no_prefix_and_masks(tmp_path):
    make("gpt2", tmp_path)
    saved = load_model(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    tensors = {name.removeprefix("transformer."): array for name, array in stored.items()}
    tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 64, 64), np.float32))
    tensors["lm_head.weight"] = tensors["wte.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    again = load_model(tmp_path)
    assert again.config == saved.config
    same = jax.tree.map(np.array_equal, again.transformer, saved.transformer)
    assert all(jax.tree.leaves(same))


def test_older_spelling_of_pythia_is_the_same_model(tmp_path):
    make("gpt_neox", tmp_path)
    before = load_model(tmp_path).config
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    path.write_text(json.dumps(config | {"rotary_emb_base": 10000, "rotary_pct": rope["partial_rotary_factor"]}))
    assert load_model(tmp_path).config == before
    assert 0 < before.rotary_dim < before.head_dim


def test_older_spelling_of_rotary_positions_is_the_same_model(tmp_path):
    make("llama", tmp_path, rope_parameters=LLAMA3)
    before = load_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_model(tmp_path).config == before.config


def test_shards_load_as_one_file(tmp_path):
    reference = make("llama", tmp_path / "one")
    reference.save_pretrained(tmp_path / "many", max_shard_size="4KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    one, many = load_model(tmp_path / "one").transformer, load_model(tmp_path / "many").transformer
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True))


def test_stories260k_equals_torch(data_dir):
    pytest.importorskip("torch", reason="torch is not installed")
    from transformers import LlamaForCausalLM

    directory = data_dir / "models" / "stories260K"
    model = load_model(directory)
    tokens = np.array([model.tokens("Once upon a time, there was a little girl named Lily.")])
    assert tokens[0, 0] == model.tokenizer.bos_id
    logits = next_token_logits(model.transformer, jnp.asarray(tokens))
    reference = torch_logits(LlamaForCausalLM.from_pretrained(directory).eval(), tokens)
    np.testing.assert_allclose(logits, reference, atol=1e-4)


@pytest.mark.parametrize("variant", STORED)
def test_logits_equal_stored_ones(variant, tmp_path):
    with np.load(GOLDENS / f"llama_{variant}.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    (tmp_path / "config.json").write_text(str(arrays.pop("config")))
    tokens, expected = arrays.pop("tokens"), arrays.pop("logits")
    save_file(arrays, tmp_path / "model.safetensors")
    logits = next_token_logits(load_model(tmp_path).transformer, jnp.asarray(tokens))
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)


def regenerate() -> None:
    """Writes the stored models and torch's logits anew."""
    for variant in STORED:
        with tempfile.TemporaryDirectory() as place:
            model = make("llama", Path(place), **VARIANTS["llama"][variant]).float()
            model.save_pretrained(place)
            config = np.array((Path(place) / "config.json").read_text())
            weights = load_file(Path(place) / "model.safetensors")
        tokens = TOKENS[:, :12]
        path = GOLDENS / f"llama_{variant}.npz"
        np.savez_compressed(path, config=config, tokens=tokens, logits=torch_logits(model, tokens), **weights)


if __name__ == "__main__":
    regenerate()
