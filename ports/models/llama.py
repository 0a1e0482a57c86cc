"""The LLaMA family: Hugging Face's config.json and tensor names, in and out.

`read_config`, `select_tensors`, `name_map` and the table `MODULES` are all that a family is. Query and key weights need
no permutation: the Hugging Face layout pairs coordinates (i, i + K/2), and so does the engine. Families that name their
tensors like LLaMA (Qwen3, Gemma-2) use the maps of this file.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causeway.engine.intervention.sites import Place
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.transformer import Transformer
from causeway.engine.whole_folder import replacing_folder
from causeway.ports.files.config_fields import Fields
from causeway.ports.files.safetensors_files import WEIGHTS, TensorFile, write_tensors
from causeway.ports.files.tensor_checks import without_copy
from causeway.ports.models.decoder_config import PUBLISHED_ACTIVATIONS, finish, read_activation, require
from causeway.ports.models.decoder_shape import read_shape
from causeway.ports.models.module_names import ModuleNames
from causeway.ports.models.rope_config import rope_json
from causeway.ports.models.weights import TensorMap, export_tensors

# Buffers that old checkpoints carry; the frequencies follow from the configuration.
BUFFERS = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
EMBEDDING, UNEMBEDDING = "model.embed_tokens.weight", "lm_head.weight"
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "mlp_norm"}
# Where the modules of a block stand, but for the norms after the first.
PROJECTIONS = {
    "": ("resid_pre", "resid_post"), "input_layernorm": ("resid_pre", "attn_in"),
    "self_attn": ("attn_in", "attn_raw"), "self_attn.q_proj": ("attn_in", "query"),
    "self_attn.k_proj": ("attn_in", "key"), "self_attn.v_proj": ("attn_in", "value"),
    "self_attn.o_proj": ("head_out", "attn_raw"), "mlp": ("mlp_in", "mlp_raw"),
    "mlp.gate_proj": ("mlp_in", ""), "mlp.up_proj": ("mlp_in", ""),
    "mlp.down_proj": ("mlp_act", "mlp_raw"),
}  # fmt: skip
BLOCKS = ("model.layers", "layers")
MODULES = ModuleNames(
    BLOCKS,
    PROJECTIONS | {"post_attention_layernorm": ("resid_mid", "mlp_in")},
    {
        "model.embed_tokens": Place("resid_pre", 0), "embed_tokens": Place("resid_pre", 0),
        "hook_embed": Place("resid_pre", 0), "model.norm": Place("final_norm"), "norm": Place("final_norm"),
        "lm_head": Place("logits"),
    },
)  # fmt: skip


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A LLaMA config.json as a `ModelConfig`.

    Args:
        values: the parsed JSON object.
        where: its path, for errors.

    Raises:
        ValueError: a field is missing, unknown, of another type, or asks for something not implemented.
    """
    fields = Fields(where, values)
    require(fields, "model_type", "llama")
    shape = read_shape(fields, whole_heads="LLaMA")
    config = ModelConfig(
        family="llama",
        **shape,
        attention_bias=fields.take("attention_bias", bool, False),
        mlp_bias=fields.take("mlp_bias", bool, False),
        activation=read_activation(fields, "hidden_act", "silu"),
    )
    finish(fields)
    return config


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    return (*decoder_map(config), *norm_map(config, NORMS))


def norm_map(config: ModelConfig, norms: Mapping[str, str]) -> tuple[TensorMap, ...]:
    """Gains of a block's norms: published name -> norm of the engine's block."""
    names = {f"model.layers.{{layer}}.{name}.weight": f"blocks.{norm}.gain" for name, norm in norms.items()}
    return tuple(TensorMap(name, parameter, (config.d_model,)) for name, parameter in names.items())


def decoder_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Embeddings, projections and the final norm as LLaMA and the families after it name them."""
    d, n, v = config.d_model, config.d_ff, config.vocab_size
    hk, gk = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    attention = {"q": ("query", hk, d), "k": ("key", gk, d), "v": ("value", gk, d), "o": ("output", d, hk)}
    mlp = {"gate": (n, d), "up": (n, d), "down": (d, n)}
    block = "model.layers.{layer}"
    maps = [TensorMap(EMBEDDING, "embedding", (v, d)), TensorMap("model.norm.weight", "final_norm.gain", (d,))]
    for letter, (name, rows, columns) in attention.items():
        source, target = f"{block}.self_attn.{letter}_proj", f"blocks.attention.{name}"
        maps.append(TensorMap(f"{source}.weight", target, (rows, columns), transposed=True))
        if config.attention_bias and (name != "output" or config.output_bias):
            maps.append(TensorMap(f"{source}.bias", f"{target}_bias", (rows,)))
    for name, (rows, columns) in mlp.items():
        source, target = f"{block}.mlp.{name}_proj", f"blocks.mlp.{name}"
        maps.append(TensorMap(f"{source}.weight", target, (rows, columns), transposed=True))
        if config.mlp_bias:
            maps.append(TensorMap(f"{source}.bias", f"{target}_bias", (rows,)))
    if not config.tied_embeddings:
        maps.append(TensorMap(UNEMBEDDING, "unembedding", (v, d), transposed=True))
    return tuple(maps)


def select_tensors(config: ModelConfig, tensors: Mapping[str, TensorFile]) -> dict[str, TensorFile]:
    """The tensors that the name map has to account for; rotary buffers of old files are left out.

    Raises:
        ValueError: embeddings are tied by the configuration, but the file holds two different matrices.
    """
    kept = {name: tensor for name, tensor in tensors.items() if not BUFFERS.fullmatch(name)}
    return without_copy(kept, EMBEDDING, UNEMBEDDING) if config.tied_embeddings else kept


def config_json(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """The config.json of a configuration, as transformers 5 writes it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": dtype,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": PUBLISHED_ACTIVATIONS[config.activation],
        "max_position_embeddings": config.max_position,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": rope_json(config),
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
    }


def save_llama(
    directory: Path | str, transformer: Transformer, *, dtype: str = "float32", overwrite: bool = False
) -> None:
    """Write config.json and model.safetensors that Hugging Face and `load_model` read; both or neither.

    Args:
        directory: made if absent; other files in it stay.
        transformer: the modules.
        dtype: of the file: float64, float32, float16 or bfloat16.
        overwrite: replace weights that are already there.

    Raises:
        FileExistsError: there are weights already and `overwrite` is false.
        ValueError: unknown dtype, or weights that are not finite in it.
    """
    directory = Path(directory)
    if (directory / WEIGHTS).exists() and not overwrite:
        raise FileExistsError(f"{directory / WEIGHTS}: already there; name another directory or pass overwrite=True")
    config = transformer.config
    tensors = export_tensors(transformer, name_map(config), dtype)
    with replacing_folder(directory) as partial:
        write_tensors(partial / WEIGHTS, tensors, {"format": "pt"})
        text = json.dumps(config_json(config, dtype), indent=2) + "\n"
        (partial / "config.json").write_text(text, encoding="utf-8")
