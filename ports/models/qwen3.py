"""The Qwen3 family: LLaMA's tensor names, per-head RMS norms of queries and keys, head width apart from d_model.

Tied (0.6B, 1.7B, 4B) or untied (8B, 14B) embeddings. Text prompts begin without BOS: its tokenizers have none.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.models.decoder_config import finish, read_activation, read_rope, read_windows, require
from causeway.ports.models.llama import MODULES as LLAMA
from causeway.ports.models.llama import NORMS, decoder_map, norm_map, select_tensors
from causeway.ports.models.weights import TensorMap

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]

HEAD_NORMS = {
    "self_attn.q_proj": ("attn_in", ""), "self_attn.k_proj": ("attn_in", ""), "self_attn.q_norm": ("", "query"),
    "self_attn.k_norm": ("", "key"),
}  # fmt: skip
MODULES = dataclasses.replace(LLAMA, inside={**LLAMA.inside, **HEAD_NORMS}, absent=("attn.hook_q", "attn.hook_k"))


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A Qwen3 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "qwen3")
    num_layers, num_heads = fields.layers("num_hidden_layers"), fields.positive("num_attention_heads")
    rope = read_rope(fields)
    if rope.share not in (None, 1.0):
        raise ValueError(f"{where}: partial_rotary_factor is {rope.share}; a Qwen3 turns whole heads")
    window, first = fields.take("sliding_window", int, 0), fields.take("max_window_layers", int, 28)
    slides = fields.take("use_sliding_window", bool, False)
    config = ModelConfig(
        family="qwen3",
        num_layers=num_layers,
        d_model=fields.positive("hidden_size"),
        num_heads=num_heads,
        num_kv_heads=fields.positive("num_key_value_heads", num_heads),
        head_dim=fields.positive("head_dim", 128),
        d_ff=fields.positive("intermediate_size"),
        vocab_size=fields.positive("vocab_size"),
        max_position=fields.positive("max_position_embeddings", 32768),
        norm_eps=fields.take("rms_norm_eps", float, 1e-6),
        rope_theta=rope.theta,
        rope_scaling=rope.scaling,
        tied_embeddings=fields.take("tie_word_embeddings", bool, False),
        attention_bias=fields.take("attention_bias", bool, False),
        activation=read_activation(fields, "hidden_act", "silu"),
        qk_norm=True,
        windows=read_windows(fields, num_layers, window, tuple(slides and i >= first for i in range(num_layers))),
    )
    finish(fields)
    return config


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    heads = tuple(
        TensorMap(
            f"model.layers.{{layer}}.self_attn.{letter}_norm.weight",
            f"blocks.attention.{name}_norm.gain",
            (config.head_dim,),
        )
        for letter, name in (("q", "query"), ("k", "key"))
    )
    return (*decoder_map(config), *norm_map(config, NORMS), *heads)
