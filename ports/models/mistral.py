"""The Mistral family: LLaMA with a window in every layer, or in none (a window of null, from version 0.2 on)."""

from collections.abc import Mapping
from typing import Any

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.models.decoder_config import finish, read_activation, read_windows, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.llama import MODULES, name_map, select_tensors

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A Mistral config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "mistral")
    shape = read_shape(fields, whole_heads="Mistral", max_position=4096 * 32)
    window = fields.take("sliding_window", int, 0 if "sliding_window" in values else 4096)
    slides = (window > 0,) * shape["num_layers"]
    config = ModelConfig(
        family="mistral",
        **shape,
        activation=read_activation(fields, "hidden_act", "silu"),
        windows=read_windows(fields, shape["num_layers"], window, slides),
    )
    finish(fields)
    return config
