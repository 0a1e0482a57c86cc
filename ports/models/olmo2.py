"""The OLMo-2 family: norms after attention and MLP and none before, queries and keys normalised over all heads."""

from collections.abc import Mapping
from typing import Any

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.models.decoder_config import finish, read_activation, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.llama import BLOCKS, PROJECTIONS, decoder_map, norm_map, select_tensors
from causeway.ports.models.llama import MODULES as LLAMA_MODULES
from causeway.ports.models.module_names import ModuleNames
from causeway.ports.models.qwen3 import HEAD_NORMS, UNLIKE_HOOKS, query_key_norms
from causeway.ports.models.weights import TensorMap

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]

NORMS = {"post_attention_layernorm": "attn_post_norm", "post_feedforward_layernorm": "mlp_post_norm"}
MODULES = ModuleNames(
    BLOCKS,
    {name: place for name, place in PROJECTIONS.items() if name != "input_layernorm"} | HEAD_NORMS | {
        "post_attention_layernorm": ("attn_raw", "attn_out"), "post_feedforward_layernorm": ("mlp_raw", "mlp_out"),
    },
    LLAMA_MODULES.outside,
    UNLIKE_HOOKS,
)  # fmt: skip


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """An OLMo-2 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "olmo2")
    shape = read_shape(fields, whole_heads="OLMo-2", norm_eps=1e-5)
    config = ModelConfig(
        family="olmo2",
        **shape,
        attention_bias=fields.take("attention_bias", bool, False),
        activation=read_activation(fields, "hidden_act", "silu"),
        pre_norms=False,
        post_norms=True,
        qk_norm=True,
        qk_norm_joint=True,
    )
    finish(fields)
    return config


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    return (*decoder_map(config), *norm_map(config, NORMS), *query_key_norms(config))
