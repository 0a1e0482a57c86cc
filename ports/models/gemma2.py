"""The Gemma-2 family: norms after attention and MLP too, gains 1 + w, capped scores and logits, every other layer a
window, embeddings times sqrt(d_model), tied.

Gains stay as stored (w): adding 1 in 16 bits would round them.
"""

from collections.abc import Mapping
from typing import Any

from causeway.engine.intervention.sites import Place
from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.models.decoder_config import finish, read_activation, read_windows, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.llama import BLOCKS, PROJECTIONS, decoder_map, norm_map, select_tensors
from causeway.ports.models.module_names import ModuleNames
from causeway.ports.models.weights import TensorMap

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]

NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "attn_post_norm",
    "pre_feedforward_layernorm": "mlp_norm",
    "post_feedforward_layernorm": "mlp_post_norm",
}
# Whether the output of `embed_tokens` is multiplied by sqrt(d_model) yet depends on the version of transformers, and
# what `lm_head` gives is capped before it is the logits.
MODULES = ModuleNames(
    BLOCKS,
    PROJECTIONS | {
        "post_attention_layernorm": ("attn_raw", "attn_out"),
        "pre_feedforward_layernorm": ("resid_mid", "mlp_in"),
        "post_feedforward_layernorm": ("mlp_raw", "mlp_out"),
    },
    {
        "hook_embed": Place("resid_pre", 0), "model.norm": Place("final_norm"), "norm": Place("final_norm"),
        "model.embed_tokens": None, "embed_tokens": None, "lm_head": None,
    },
)  # fmt: skip


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A Gemma-2 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "gemma2")
    require(fields, "use_bidirectional_attention", False)
    activation = read_activation(fields, "hidden_activation", "gelu_pytorch_tanh")
    if read_activation(fields, "hidden_act", "gelu_pytorch_tanh") != activation:
        # The published files carry an old field that transformers does not read; where it differs, nobody can tell.
        raise ValueError(f"{where}: hidden_act and hidden_activation disagree; keep hidden_activation alone")
    shape = read_shape(fields, whole_heads="Gemma-2", head_dim=256, max_position=8192, tied=True)
    window, num_layers = fields.take("sliding_window", int, 4096), shape["num_layers"]
    config = ModelConfig(
        family="gemma2",
        **shape,
        attention_bias=fields.take("attention_bias", bool, False),
        norm="rms_offset",
        post_norms=True,
        activation=activation,
        windows=read_windows(fields, num_layers, window, tuple(i % 2 == 0 for i in range(num_layers))),
        attention_softcap=_cap(fields, values, "attn_logit_softcapping", 50.0),
        logit_softcap=_cap(fields, values, "final_logit_softcapping", 30.0),
        query_scale=fields.take("query_pre_attn_scalar", float, 256.0) ** -0.5,
        embedding_scale=shape["d_model"] ** 0.5,
    )
    finish(fields)
    return config


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    return (*decoder_map(config), *norm_map(config, NORMS))


def _cap(fields: Fields, values: Mapping[str, Any], name: str, default: float) -> float:
    """A soft-cap; absent is the family's default, null is none."""
    return fields.take(name, float, 0.0 if name in values else default)
