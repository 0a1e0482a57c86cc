"""The whole forward pass in float64 against a plain numpy LLaMA that reads the published tensors itself.

Hugging Face's modules compute norms and rotary angles in float32 whatever the model's dtype, so agreement with them
stops near 1e-6; here only rounding in the last digits is left, and a slightly wrong constant would show.
The models are the stored ones of test_family_parity.py.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from causeway.engine.model.forward import next_token_logits
from causeway.ports.models.load import load_model

GOLDENS = Path(__file__).resolve().parents[2] / "goldens"


def frequencies(config: dict, width: int) -> np.ndarray:
    rope = config["rope_parameters"]
    base = 1.0 / rope["rope_theta"] ** (np.arange(0, width, 2) / width)
    if rope["rope_type"] == "default":
        return base
    context, low, high = rope["original_max_position_embeddings"], rope["low_freq_factor"], rope["high_freq_factor"]
    out = []
    for frequency in base:
        wavelength = 2 * np.pi / frequency
        if wavelength > context / low:
            out.append(frequency / rope["factor"])
        elif wavelength < context / high:
            out.append(frequency)
        else:
            smooth = (context / wavelength - low) / (high - low)
            out.append((1 - smooth) * frequency / rope["factor"] + smooth * frequency)
    return np.array(out)


def rotate(x: np.ndarray, config: dict) -> np.ndarray:
    """x [T, heads, K]."""
    angles = np.arange(len(x))[:, None] * frequencies(config, x.shape[-1])
    turn = np.exp(1j * angles)[:, None]
    half = x.shape[-1] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * turn
    return np.concatenate([turned.real, turned.imag], -1)


def plain_llama(config: dict, weights: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """Logits [T, V] of one sequence."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    heads, groups, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return w[f"{name}.weight"] * x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"])

    x = w["model.embed_tokens.weight"][tokens]
    mask = np.triu(np.full((len(tokens), len(tokens)), -np.inf), 1)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        y = norm(f"{block}.input_layernorm", x)
        q = rotate(linear(f"{block}.self_attn.q_proj", y).reshape(-1, heads, width), config)
        k = rotate(linear(f"{block}.self_attn.k_proj", y).reshape(-1, groups, width), config)
        v = linear(f"{block}.self_attn.v_proj", y).reshape(-1, groups, width)
        k, v = (np.repeat(a, heads // groups, axis=1) for a in (k, v))
        scores = np.einsum("thk,shk->hts", q, k) / np.sqrt(width) + mask
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        z = np.einsum("hts,shk->thk", pattern, v).reshape(len(tokens), -1)
        x = x + linear(f"{block}.self_attn.o_proj", z)
        y = norm(f"{block}.post_attention_layernorm", x)
        gate, up = linear(f"{block}.mlp.gate_proj", y), linear(f"{block}.mlp.up_proj", y)
        x = x + linear(f"{block}.mlp.down_proj", gate / (1 + np.exp(-gate)) * up)
    unembedding = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return norm("model.norm", x) @ unembedding.T


@pytest.mark.parametrize("variant", ["gqa", "all"])
def test_float64_logits_equal_a_plain_reference(variant, tmp_path):
    with np.load(GOLDENS / f"llama_{variant}.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    config, tokens = str(arrays.pop("config")), arrays.pop("tokens")
    arrays.pop("logits")
    (tmp_path / "config.json").write_text(config)
    save_file(arrays, tmp_path / "model.safetensors")
    with jax.enable_x64(True):
        model = load_model(tmp_path, storage="float64", compute="float64", accumulate="float64")
        logits = next_token_logits(model.transformer, jnp.asarray(tokens))
    assert logits.dtype == np.float64
    expected = np.stack([plain_llama(json.loads(config), arrays, row) for row in tokens])
    np.testing.assert_allclose(logits, expected, atol=1e-9)
