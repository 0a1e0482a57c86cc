"""The GPT-2 family: learned positions, LayerNorm with biases, matrices stored [in, out], tied embeddings.

`c_attn` holds query, key and value side by side, so three parameters are each a third of its columns. The published
files name tensors `h.0...`, files saved from the language model `transformer.h.0...`; both are read.
"""

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
from causeway.ports.models.weights import Part, TensorMap

# Dropout acts in training alone. Computing the softmax in float32 (`reorder_and_upcast_attn`) is what the engine does
# anyway. `n_ctx` is an old name of `n_positions`.
UNUSED = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "reorder_and_upcast_attn", "n_ctx")
# The causal mask, stored as a buffer.
BUFFERS = re.compile(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias")
PREFIX = "transformer."
EMBEDDING, UNEMBEDDING = "wte.weight", "lm_head.weight"
# Positions are added after `wte`; what `drop` passes on is the first block's input.
MODULES = ModuleNames(
    ("transformer.h", "h"),
    {
        "": ("resid_pre", "resid_post"), "ln_1": ("resid_pre", "attn_in"), "attn": ("attn_in", "attn_raw"),
        "attn.c_attn": ("attn_in", ""), "attn.c_proj": ("head_out", "attn_raw"), "ln_2": ("resid_mid", "mlp_in"),
        "mlp": ("mlp_in", "mlp_raw"), "mlp.c_fc": ("mlp_in", ""), "mlp.act": ("", "mlp_act"),
        "mlp.c_proj": ("mlp_act", "mlp_raw"),
    },
    {
        "transformer.drop": Place("resid_pre", 0), "drop": Place("resid_pre", 0),
        "transformer.wte": None, "wte": None, "hook_embed": None,
        "transformer.ln_f": Place("final_norm"), "ln_f": Place("final_norm"), "lm_head": Place("logits"),
    },
)  # fmt: skip


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A GPT-2 config.json as a `ModelConfig`; arguments and errors as `llama.read_config`."""
    fields = Fields(where, values)
    for name, only in (
        ("model_type", "gpt2"), ("scale_attn_weights", True), ("scale_attn_by_inverse_layer_idx", False),
        ("add_cross_attention", False),
    ):  # fmt: skip
        require(fields, name, only)
    d_model, num_heads = fields.positive("n_embd"), fields.positive("n_head")
    config = ModelConfig(
        family="gpt2",
        num_layers=fields.layers("n_layer"),
        d_model=d_model,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=whole_heads(fields, d_model, num_heads),
        d_ff=fields.positive("n_inner", 4 * d_model),
        vocab_size=fields.positive("vocab_size"),
        max_position=fields.positive("n_positions"),
        norm_eps=fields.take("layer_norm_epsilon", float, 1e-5),
        tied_embeddings=fields.take("tie_word_embeddings", bool, True),
        attention_bias=True,
        mlp_bias=True,
        norm="layer",
        positions="learned",
        activation=read_activation(fields, "activation_function", "gelu_new"),
        gated_mlp=False,
    )
    finish(fields, UNUSED)
    return config


def select_tensors(config: ModelConfig, tensors: Mapping[str, TensorFile]) -> dict[str, TensorFile]:
    """The tensors that the name map has to account for, by their names without prefix; masks are left out.

    Raises:
        ValueError: embeddings are tied by the configuration, but the file holds two different matrices.
    """
    kept = {name.removeprefix(PREFIX): t for name, t in tensors.items() if not BUFFERS.fullmatch(name)}
    return without_copy(kept, EMBEDDING, UNEMBEDDING) if config.tied_embeddings else kept


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    d, n, v = config.d_model, config.d_ff, config.vocab_size
    block = "h.{layer}"
    maps = [
        TensorMap(EMBEDDING, "embedding", (v, d)),
        TensorMap("wpe.weight", "position_embedding", (config.max_position, d)),
    ]
    for source, target in (
        (f"{block}.ln_1", "blocks.attn_norm"), (f"{block}.ln_2", "blocks.mlp_norm"), ("ln_f", "final_norm"),
    ):  # fmt: skip
        maps += [
            TensorMap(f"{source}.weight", f"{target}.gain", (d,)),
            TensorMap(f"{source}.bias", f"{target}.bias", (d,)),
        ]
    for index, name in enumerate(("query", "key", "value")):
        source, target = f"{block}.attn.c_attn", f"blocks.attention.{name}"
        maps.append(TensorMap(f"{source}.weight", target, (d, 3 * d), part=Part(1, index, 3)))
        maps.append(TensorMap(f"{source}.bias", f"{target}_bias", (3 * d,), part=Part(0, index, 3)))
    for source, target, shape in (
        ("attn.c_proj", "attention.output", (d, d)), ("mlp.c_fc", "mlp.up", (d, n)), ("mlp.c_proj", "mlp.down", (n, d)),
    ):  # fmt: skip
        maps.append(TensorMap(f"{block}.{source}.weight", f"blocks.{target}", shape))
        maps.append(TensorMap(f"{block}.{source}.bias", f"blocks.{target}_bias", shape[1:]))
    if not config.tied_embeddings:
        maps.append(TensorMap(UNEMBEDDING, "unembedding", (v, d), transposed=True))
    return tuple(maps)
