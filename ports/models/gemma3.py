"""The Gemma-3 family, its language model: Gemma-2 without caps, with norms of queries and keys and two rotary bases.

Five of six layers have a window and rotary positions of a small base; the sixth sees everything, with a large base
that may be stretched. Published files of the larger models hold a vision tower too: `model_type` is `gemma3`, the
language model's fields are under `text_config`, and the tower's tensors are left out.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.models import llama
from causeway.ports.models.decoder_config import finish, read_activation, read_windows, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.gemma2 import MODULES as GEMMA2
from causeway.ports.models.gemma2 import NORMS
from causeway.ports.models.llama import decoder_map, norm_map
from causeway.ports.models.qwen3 import HEAD_NORMS, UNLIKE_HOOKS, query_key_norms
from causeway.ports.models.rope_config import Rope, read_rope_object
from causeway.ports.models.weights import TensorMap

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]

MODULES = dataclasses.replace(GEMMA2, inside={**GEMMA2.inside, **HEAD_NORMS}, absent=UNLIKE_HOOKS)
VISION = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\..*")
LANGUAGE = re.compile(r"(model\.)?language_model\.(model\.)?")
# What the files of the larger models leave out.
DEFAULTS = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262_208}


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A Gemma-3 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    if values.get("model_type") == "gemma3":
        where, values = f"{where} text_config", Fields(where, values).take("text_config", dict)
    fields = Fields(where, DEFAULTS | dict(values))
    require(fields, "model_type", "gemma3_text")
    require(fields, "use_bidirectional_attention", False)
    rope, local = _ropes(fields)
    shape = read_shape(fields, whole_heads="Gemma-3", head_dim=256, max_position=131_072, tied=True, rope=rope)
    num_layers, every = shape["num_layers"], fields.positive("sliding_window_pattern", 6)
    window = fields.take("sliding_window", int, 4096)
    config = ModelConfig(
        family="gemma3",
        **shape,
        attention_bias=fields.take("attention_bias", bool, False),
        norm="rms_offset",
        post_norms=True,
        qk_norm=True,
        activation=read_activation(fields, "hidden_activation", "gelu_pytorch_tanh"),
        windows=read_windows(fields, num_layers, window, tuple(bool((i + 1) % every) for i in range(num_layers))),
        logit_softcap=fields.take("final_logit_softcapping", float, 0.0),
        query_scale=fields.take("query_pre_attn_scalar", float, 256.0) ** -0.5,
        embedding_scale=shape["d_model"] ** 0.5,
        local_rope_theta=local,
    )
    # transformers reads it and does not use it.
    fields.neutral("attn_logit_softcapping", None)
    finish(fields)
    return config


def _ropes(fields: Fields) -> tuple[Rope, float]:
    """Rotary positions of the layers that see everything, and the base of those with a window.

    Raises:
        ValueError: the layers with a window are stretched, or see `read_rope_object`.
    """
    context = fields.look("max_position_embeddings")
    both = fields.take("rope_parameters", dict, {})
    wide = both.get("full_attention") or fields.take("rope_scaling", dict, {})
    theta = wide.get("rope_theta", fields.take("rope_theta", float, 1e6))
    rope = read_rope_object(f"{fields.where} rope of full_attention", wide | {"rope_theta": theta}, None, context)
    near = both.get("sliding_attention") or {}
    base = near.get("rope_theta", fields.take("rope_local_base_freq", float, 1e4))
    local = read_rope_object(f"{fields.where} rope of sliding_attention", near | {"rope_theta": base}, None, context)
    if local.scaling.kind != "default":
        raise ValueError(f"{fields.where}: rope of sliding_attention is stretched, which is not implemented")
    return rope, local.theta


def select_tensors(config: ModelConfig, tensors: Mapping[str, TensorFile]) -> dict[str, TensorFile]:
    """The tensors of the language model, by the names that they have without a vision tower.

    Raises:
        ValueError: embeddings are tied by the configuration, but the file holds two different matrices.
    """
    kept = {_alone(name): tensor for name, tensor in tensors.items() if not VISION.fullmatch(name)}
    return llama.select_tensors(config, kept)


def _alone(name: str) -> str:
    rest, count = LANGUAGE.subn("", name, count=1)
    return f"model.{rest}" if count and rest != llama.UNEMBEDDING else rest


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    return (*decoder_map(config), *norm_map(config, NORMS), *query_key_norms(config))
