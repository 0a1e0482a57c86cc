"""Logits of loaded LLaMAs against Hugging Face's own implementation.

With torch installed, tiny random models of every variant are made, saved the way Hugging Face saves them and loaded
back. Without torch, two stored models (configuration, weights, tokens and torch's logits) stand in. Regenerate them
with torch installed, from the repository root, by

    python -P tests/ports/models/test_llama_parity.py

which overwrites tests/goldens/llama_*.npz.
"""

import importlib.util
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

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed; the stored goldens stand in")
GOLDENS = Path(__file__).resolve().parents[2] / "goldens"

BASE = {
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
VARIANTS = {
    "mha": {},
    "gqa": {"num_key_value_heads": 2},
    "mqa": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True, "num_key_value_heads": 2},
    "attention_bias": {"attention_bias": True, "num_key_value_heads": 2},
    "mlp_bias": {"mlp_bias": True},
    "rope_linear": {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
    "rope_llama3": {"rope_parameters": LLAMA3},
    "rope_theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "head_dim": {"head_dim": 6, "num_key_value_heads": 2},
    "norm_eps": {"rms_norm_eps": 0.1},
    "all": {
        "num_key_value_heads": 2, "head_dim": 10, "attention_bias": True, "mlp_bias": True,
        "tie_word_embeddings": True, "rope_parameters": LLAMA3,
    },
}  # fmt: skip
GOLDEN_VARIANTS = ("gqa", "all")


def make_torch_model(variant: str, directory: Path):
    """A random model with every parameter random (norm gains and biases too), saved into `directory`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**(BASE | VARIANTS[variant]), attn_implementation="eager")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(directory)
    return model


def torch_logits(model, tokens: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(tokens)).logits.numpy()


def some_tokens(vocabulary: int = 48, length: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(0, vocabulary, (2, length))


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_torch(variant, tmp_path):
    reference = make_torch_model(variant, tmp_path)
    model = load_model(tmp_path)
    tokens = some_tokens()
    np.testing.assert_allclose(
        next_token_logits(model.transformer, jnp.asarray(tokens)), torch_logits(reference, tokens), atol=1e-4, rtol=1e-4
    )


@needs_torch
def test_older_spelling_of_rotary_positions_is_the_same_model(tmp_path):
    make_torch_model("rope_llama3", tmp_path)
    before = load_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_model(tmp_path).config == before.config


@needs_torch
def test_shards_load_as_one_file(tmp_path):
    reference = make_torch_model("gqa", tmp_path / "one")
    reference.save_pretrained(tmp_path / "many", max_shard_size="4KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    one, many = load_model(tmp_path / "one").transformer, load_model(tmp_path / "many").transformer
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True))


def test_stories260k_equals_torch(data_dir):
    if not HAS_TORCH:
        pytest.skip("torch is not installed")
    from transformers import LlamaForCausalLM

    directory = data_dir / "models" / "stories260K"
    model = load_model(directory)
    tokens = np.array([model.tokens("Once upon a time, there was a little girl named Lily.")])
    assert tokens[0, 0] == model.tokenizer.bos_id
    logits = next_token_logits(model.transformer, jnp.asarray(tokens))
    reference = torch_logits(LlamaForCausalLM.from_pretrained(directory).eval(), tokens)
    np.testing.assert_allclose(logits, reference, atol=1e-4)


@pytest.mark.parametrize("variant", GOLDEN_VARIANTS)
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
    for variant in GOLDEN_VARIANTS:
        with tempfile.TemporaryDirectory() as place:
            model, tokens = make_torch_model(variant, Path(place)), some_tokens(length=12)
            config = np.array((Path(place) / "config.json").read_text())
            weights = load_file(Path(place) / "model.safetensors")
            logits = torch_logits(model, tokens)
        path = GOLDENS / f"llama_{variant}.npz"
        np.savez_compressed(path, config=config, tokens=tokens, logits=logits, **weights)


if __name__ == "__main__":
    regenerate()
