"""The Phi-3 family (Phi-3, 3.5, 4 mini): LLaMA whose projections are stored together, with a window.

`qkv_proj` holds the rows of queries, keys and values, `gate_up_proj` those of gate and up, one after the other. Models
of a long context have two sets of divisors of rotary frequencies (`longrope`), for prompts up to the original context
and beyond it. They are different functions; the first one is read here, and `max_position` is the original context.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.models.decoder_config import finish, read_activation, read_windows, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.llama import MODULES as LLAMA_MODULES
from causeway.ports.models.llama import NORMS, decoder_map, norm_map, select_tensors
from causeway.ports.models.module_names import ModuleNames
from causeway.ports.models.rope_config import Rope, read_rope, read_rope_object
from causeway.ports.models.weights import Span, TensorMap

__all__ = ["MODULES", "name_map", "read_config", "select_tensors"]

# What `longrope` was called before.
LONG = ("longrope", "su", "yarn")
TOGETHER = {
    "self_attn.q_proj": "self_attn.qkv_proj", "self_attn.k_proj": "self_attn.qkv_proj",
    "self_attn.v_proj": "self_attn.qkv_proj", "mlp.gate_proj": "mlp.gate_up_proj", "mlp.up_proj": "mlp.gate_up_proj",
}  # fmt: skip
MODULES = ModuleNames(
    LLAMA_MODULES.blocks,
    {
        TOGETHER.get(name, name): (reads, "" if name in TOGETHER else gives)
        for name, (reads, gives) in LLAMA_MODULES.inside.items()
    },
    LLAMA_MODULES.outside,
)
# Dropout acts in training alone.
UNUSED = ("resid_pdrop", "embd_pdrop")


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A Phi-3 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "phi3")
    shape = read_shape(fields, max_position=4096, norm_eps=1e-5, rope=_rope(fields, values))
    window = fields.take("sliding_window", int, 0)
    if shape["rope_scaling"].kind == "longrope":
        shape["max_position"] = min(shape["max_position"], shape["rope_scaling"].original_max_position)
    config = ModelConfig(
        family="phi3",
        **shape,
        activation=read_activation(fields, "hidden_act", "silu"),
        windows=read_windows(fields, shape["num_layers"], window, (window > 0,) * shape["num_layers"]),
    )
    finish(fields, UNUSED)
    return config


def _rope(fields: Fields, values: Mapping[str, Any]) -> Rope:
    """Rotary positions; the original context and the share of a head stand beside them in older files."""
    original = fields.take("original_max_position_embeddings", int, None)
    share = fields.take("partial_rotary_factor", float, None)
    for name in ("rope_parameters", "rope_scaling"):
        given = values.get(name)
        if isinstance(given, dict) and (given.get("rope_type") or given.get("type")) in LONG:
            fields.take(name, dict)
            given = {key: value for key, value in given.items() if key not in ("type", "rope_type")}
            given = {"original_max_position_embeddings": original} | given | {"rope_type": "longrope"}
            theta = fields.take("rope_theta", float, None)
            context = values.get("max_position_embeddings")
            rope = read_rope_object(f"{fields.where} {name}", given, theta, context, ("longrope",))
            break
    else:
        rope = read_rope(fields)
    return rope if share is None else dataclasses.replace(rope, share=share)


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    query, key = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    rows = {
        "query": (0, query), "key": (query, query + key), "value": (query + key, query + 2 * key),
        "gate": (0, config.d_ff), "up": (config.d_ff, 2 * config.d_ff),
    }  # fmt: skip
    sizes = {"self_attn.qkv_proj": query + 2 * key, "mlp.gate_up_proj": 2 * config.d_ff}
    return (*(_together(entry, rows, sizes) for entry in decoder_map(config)), *norm_map(config, NORMS))


def _together(entry: TensorMap, rows: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]) -> TensorMap:
    """The entry as rows of the tensor in which it is stored with others."""
    alone = entry.tensor.removeprefix("model.layers.{layer}.").removesuffix(".weight")
    if alone not in TOGETHER:
        return entry
    both, part = TOGETHER[alone], Span(0, *rows[entry.parameter.rsplit(".", 1)[1]])
    shape = (sizes[both], *entry.shape[1:])
    return dataclasses.replace(entry, tensor=entry.tensor.replace(alone, both), shape=shape, part=part)
