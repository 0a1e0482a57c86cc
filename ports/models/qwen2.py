"""The Qwen-2 family (Qwen 1.5, 2, 2.5): LLaMA with biases of queries, keys and values alone.

Text prompts begin without BOS: its tokenizers have none.
"""

from collections.abc import Mapping
from typing import Any

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.models.decoder_config import finish, read_activation, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.llama import MODULES, name_map, select_tensors
from causeway.ports.models.qwen3 import read_late_windows

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A Qwen-2 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "qwen2")
    shape = read_shape(fields, whole_heads="Qwen-2", max_position=32768)
    config = ModelConfig(
        family="qwen2",
        **shape,
        attention_bias=True,
        attention_output_bias=False,
        activation=read_activation(fields, "hidden_act", "silu"),
        windows=read_late_windows(fields, shape["num_layers"]),
    )
    finish(fields)
    return config
