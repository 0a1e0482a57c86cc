"""The GPT-NeoX family (Pythia): parallel blocks, LayerNorm with biases, a part of each head turns, untied.

`query_key_value` is [H, 3, K] rows: the three parts alternate inside every head.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from causeway.engine.intervention.sites import Place
from causeway.engine.model.config import ModelConfig
from causeway.ports.files.config_fields import Fields
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_checks import without_copy
from causeway.ports.models.decoder_config import finish, read_activation, require, whole_heads
from causeway.ports.models.module_names import ModuleNames
from causeway.ports.models.rope_config import read_rope
from causeway.ports.models.weights import Part, TensorMap

# The causal mask and the rotary frequencies, stored as buffers.
BUFFERS = re.compile(r"gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)")
EMBEDDING, UNEMBEDDING = "gpt_neox.embed_in.weight", "embed_out.weight"
# With parallel blocks there is no resid_mid: the second norm reads resid_pre.
MODULES = ModuleNames(
    ("gpt_neox.layers", "layers"),
    {
        "": ("resid_pre", "resid_post"), "input_layernorm": ("resid_pre", "attn_in"),
        "attention": ("attn_in", "attn_raw"), "attention.query_key_value": ("attn_in", ""),
        "attention.dense": ("head_out", "attn_raw"), "post_attention_layernorm": ("resid_mid", "mlp_in"),
        "mlp": ("mlp_in", "mlp_raw"), "mlp.dense_h_to_4h": ("mlp_in", ""), "mlp.act": ("", "mlp_act"),
        "mlp.dense_4h_to_h": ("mlp_act", "mlp_raw"),
    },
    {
        "gpt_neox.embed_in": Place("resid_pre", 0), "embed_in": Place("resid_pre", 0),
        "hook_embed": Place("resid_pre", 0), "gpt_neox.final_layer_norm": Place("final_norm"),
        "final_layer_norm": Place("final_norm"), "embed_out": Place("logits"),
    },
)  # fmt: skip


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A GPT-NeoX config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    require(fields, "model_type", "gpt_neox")
    d_model, num_heads = fields.positive("hidden_size"), fields.positive("num_attention_heads")
    head_dim = whole_heads(fields, d_model, num_heads)
    base, share = fields.take("rotary_emb_base", float, None), fields.take("rotary_pct", float, None)
    rope = read_rope(fields)
    if "rope_parameters" not in values and base is not None:
        rope = dataclasses.replace(rope, theta=base)
    share = next(value for value in (rope.share, share, 0.25) if value is not None)
    bias = fields.take("attention_bias", bool, True)
    if not bias:
        raise ValueError(f"{where}: attention_bias is false; this reader implements attention with biases alone")
    config = ModelConfig(
        family="gpt_neox",
        num_layers=fields.layers("num_hidden_layers"),
        d_model=d_model,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=head_dim,
        d_ff=fields.positive("intermediate_size"),
        vocab_size=fields.positive("vocab_size"),
        max_position=fields.positive("max_position_embeddings", 2048),
        norm_eps=fields.take("layer_norm_eps", float, 1e-5),
        rope_theta=rope.theta,
        rope_scaling=rope.scaling,
        tied_embeddings=fields.take("tie_word_embeddings", bool, False),
        attention_bias=True,
        mlp_bias=True,
        norm="layer",
        rotary_dim=int(head_dim * share),
        parallel_blocks=fields.take("use_parallel_residual", bool, True),
        activation=read_activation(fields, "hidden_act", "gelu"),
        gated_mlp=False,
    )
    finish(fields)
    return config


def select_tensors(config: ModelConfig, tensors: Mapping[str, TensorFile]) -> dict[str, TensorFile]:
    """The tensors that the name map has to account for; masks and frequencies are left out.

    Raises:
        ValueError: embeddings are tied by the configuration, but the file holds two different matrices.
    """
    kept = {name: tensor for name, tensor in tensors.items() if not BUFFERS.fullmatch(name)}
    return without_copy(kept, EMBEDDING, UNEMBEDDING) if config.tied_embeddings else kept


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    d, n, v = config.d_model, config.d_ff, config.vocab_size
    block, last = "gpt_neox.layers.{layer}", "gpt_neox.final_layer_norm"
    maps = [TensorMap(EMBEDDING, "embedding", (v, d))]
    for source, target in (
        (f"{block}.input_layernorm", "blocks.attn_norm"), (f"{block}.post_attention_layernorm", "blocks.mlp_norm"),
        (last, "final_norm"),
    ):  # fmt: skip
        maps.append(TensorMap(f"{source}.weight", f"{target}.gain", (d,)))
        maps.append(TensorMap(f"{source}.bias", f"{target}.bias", (d,)))
    for index, name in enumerate(("query", "key", "value")):
        source, target = f"{block}.attention.query_key_value", f"blocks.attention.{name}"
        part = Part(0, index, 3, width=config.head_dim)
        maps.append(TensorMap(f"{source}.weight", target, (3 * d, d), transposed=True, part=part))
        maps.append(TensorMap(f"{source}.bias", f"{target}_bias", (3 * d,), part=part))
    for source, target, shape in (
        ("attention.dense", "attention.output", (d, d)), ("mlp.dense_h_to_4h", "mlp.up", (n, d)),
        ("mlp.dense_4h_to_h", "mlp.down", (d, n)),
    ):  # fmt: skip
        maps.append(TensorMap(f"{block}.{source}.weight", f"blocks.{target}", shape, transposed=True))
        maps.append(TensorMap(f"{block}.{source}.bias", f"blocks.{target}_bias", shape[:1]))
    if not config.tied_embeddings:
        maps.append(TensorMap(UNEMBEDDING, "unembedding", (v, d), transposed=True))
    return tuple(maps)
