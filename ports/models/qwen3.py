"""The Qwen3 family: LLaMA's tensor names, per-head RMS norms of queries and keys, head width apart from d_model.

Tied (0.6B, 1.7B, 4B) or untied (8B, 14B) embeddings. Text prompts begin without BOS: its tokenizers have none.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.models.decoder_config import finish, read_activation, read_windows, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.llama import MODULES as LLAMA
from causeway.ports.models.llama import NORMS, decoder_map, norm_map, select_tensors
from causeway.ports.models.weights import TensorMap

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]

HEAD_NORMS = {
    "self_attn.q_proj": ("attn_in", ""), "self_attn.k_proj": ("attn_in", ""), "self_attn.q_norm": ("", "query"),
    "self_attn.k_norm": ("", "key"),
}  # fmt: skip
# TransformerLens has them before the norm.
UNLIKE_HOOKS = ("attn.hook_q", "attn.hook_k")
MODULES = dataclasses.replace(LLAMA, inside={**LLAMA.inside, **HEAD_NORMS}, absent=UNLIKE_HOOKS)


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A Qwen3 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "qwen3")
    shape = read_shape(fields, whole_heads="Qwen3", head_dim=128, max_position=32768)
    config = ModelConfig(
        family="qwen3",
        **shape,
        attention_bias=fields.take("attention_bias", bool, False),
        activation=read_activation(fields, "hidden_act", "silu"),
        qk_norm=True,
        windows=read_late_windows(fields, shape["num_layers"]),
    )
    finish(fields)
    return config


def read_late_windows(fields: Fields, num_layers: int) -> tuple[int, ...]:
    """Windows of the layers from `max_window_layers` on, where the file asks for windows at all."""
    window, first = fields.take("sliding_window", int, 0), fields.take("max_window_layers", int, 28)
    slides = fields.take("use_sliding_window", bool, False)
    return read_windows(fields, num_layers, window, tuple(slides and i >= first for i in range(num_layers)))


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    return (*decoder_map(config), *norm_map(config, NORMS), *query_key_norms(config))


def query_key_norms(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Gains of the norms of queries and keys, of one head or of all together."""
    counts = {"query": config.num_heads, "key": config.num_kv_heads} if config.qk_norm_joint else {"query": 1, "key": 1}
    return tuple(
        TensorMap(
            f"model.layers.{{layer}}.self_attn.{name[0]}_norm.weight",
            f"blocks.attention.{name}_norm.gain",
            (count * config.head_dim,),
        )
        for name, count in counts.items()
    )
