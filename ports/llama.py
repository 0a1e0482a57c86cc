"""The LLaMA family: Hugging Face's config.json and tensor names, in and out.

`read_config`, `select_tensors` and `name_map` are all that a family is. Query and key weights need no permutation:
the Hugging Face layout pairs coordinates (i, i + K/2), and so does the engine.

Both spellings of rotary positions are read: `rope_theta` beside `rope_scaling` (older files), and one
`rope_parameters` (transformers 5); kinds `default`, `linear` and `llama3`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from causeway.engine.model.config import ModelConfig, RopeScaling
from causeway.engine.model.transformer import Transformer
from causeway.ports.config_fields import Fields
from causeway.ports.safetensors_files import WEIGHTS, TensorFile
from causeway.ports.weights import TensorMap, export_tensors

# Fields that change nothing about the forward pass: training, bookkeeping, generation defaults, and options of
# transformers itself. `pretraining_tp` only says in how many slices Meta computed the same sums.
IRRELEVANT = (
    "architectures", "transformers_version", "torch_dtype", "dtype", "use_cache", "initializer_range",
    "attention_dropout", "pretraining_tp", "bos_token_id", "eos_token_id", "pad_token_id", "_name_or_path",
    "output_attentions", "output_hidden_states", "return_dict", "chunk_size_feed_forward", "is_encoder_decoder",
    "id2label", "label2id", "problem_type", "_attn_implementation_autoset", "_attn_implementation",
)  # fmt: skip
ROPE_KINDS = ("default", "linear", "llama3")
# Buffers that old checkpoints carry; the frequencies follow from the configuration.
BUFFERS = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
EMBEDDING, UNEMBEDDING = "model.embed_tokens.weight", "lm_head.weight"


def read_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """A LLaMA config.json as a `ModelConfig`.

    Args:
        values: the parsed JSON object.
        where: its path, for errors.

    Raises:
        ValueError: a field is missing, unknown, of another type, or asks for something not implemented.
    """
    fields = Fields(where, values)
    _fixed(fields, "model_type", "llama")
    _fixed(fields, "hidden_act", "silu")
    d_model, num_heads = fields.positive("hidden_size"), fields.positive("num_attention_heads")
    if values.get("head_dim") is None and d_model % num_heads:
        raise ValueError(
            f"{where}: hidden_size {d_model} is not a multiple of num_attention_heads {num_heads}; give head_dim"
        )
    theta, scaling = _read_rope(fields)
    config = ModelConfig(
        family="llama",
        num_layers=fields.positive("num_hidden_layers"),
        d_model=d_model,
        num_heads=num_heads,
        num_kv_heads=fields.positive("num_key_value_heads", num_heads),
        head_dim=fields.positive("head_dim", d_model // num_heads),
        d_ff=fields.positive("intermediate_size"),
        vocab_size=fields.positive("vocab_size"),
        max_position=fields.positive("max_position_embeddings", 2048),
        norm_eps=fields.take("rms_norm_eps", float, 1e-6),
        rope_theta=theta,
        rope_scaling=scaling,
        tied_embeddings=fields.take("tie_word_embeddings", bool, False),
        attention_bias=fields.take("attention_bias", bool, False),
        mlp_bias=fields.take("mlp_bias", bool, False),
    )
    fields.ignore(IRRELEVANT)
    fields.done()
    return config


def name_map(config: ModelConfig) -> tuple[TensorMap, ...]:
    """Which Hugging Face tensor is which parameter."""
    d, n, v = config.d_model, config.d_ff, config.vocab_size
    hk, gk = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    attention = {"q": ("query", hk, d), "k": ("key", gk, d), "v": ("value", gk, d), "o": ("output", d, hk)}
    mlp = {"gate": (n, d), "up": (n, d), "down": (d, n)}
    block = "model.layers.{layer}"
    maps = [
        TensorMap(EMBEDDING, "embedding", (v, d)),
        TensorMap("model.norm.weight", "final_norm.gain", (d,)),
        TensorMap(f"{block}.input_layernorm.weight", "blocks.attn_norm.gain", (d,)),
        TensorMap(f"{block}.post_attention_layernorm.weight", "blocks.mlp_norm.gain", (d,)),
    ]
    for letter, (name, rows, columns) in attention.items():
        source, target = f"{block}.self_attn.{letter}_proj", f"blocks.attention.{name}"
        maps.append(TensorMap(f"{source}.weight", target, (rows, columns), transposed=True))
        if config.attention_bias:
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
    """The tensors that the name map has to account for.

    Rotary buffers are left out. Some files with tied embeddings store the matrix twice; the second copy is left out
    once it is found equal.

    Raises:
        ValueError: embeddings are tied by the configuration, but the file holds two different matrices.
    """
    kept = {name: tensor for name, tensor in tensors.items() if not BUFFERS.fullmatch(name)}
    if config.tied_embeddings and {EMBEDDING, UNEMBEDDING} <= set(kept):
        copy = kept.pop(UNEMBEDDING)
        if not np.array_equal(copy.read(), kept[EMBEDDING].read()):
            raise ValueError(
                f"{copy.file}: {UNEMBEDDING} differs from {EMBEDDING}, but tie_word_embeddings is true in config.json; "
                "set it to false if the model is untied"
            )
    return kept


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
        "hidden_act": "silu",
        "max_position_embeddings": config.max_position,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": _rope_json(config),
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
    }


def save_llama(
    directory: Path | str, transformer: Transformer, *, dtype: str = "float32", overwrite: bool = False
) -> None:
    """Write config.json and model.safetensors that Hugging Face and `load_model` read.

    Args:
        directory: made if absent.
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
    directory.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed, so that a killed process never leaves half a file under the real name.
    partial = directory / f"{WEIGHTS}.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.replace(directory / WEIGHTS)
    (directory / "config.json").write_text(json.dumps(config_json(config, dtype), indent=2) + "\n", encoding="utf-8")


def _fixed(fields: Fields, name: str, only: str) -> None:
    value = fields.take(name, str, only)
    if value != only:
        raise ValueError(f"{fields.where}: field {name} is {value!r}; this reader implements {only!r} alone")


def _read_rope(fields: Fields) -> tuple[float, RopeScaling]:
    """theta and scaling from either spelling; when both are there they must agree."""
    new, old = fields.take("rope_parameters", dict, None), fields.take("rope_scaling", dict, None)
    theta = fields.take("rope_theta", float, None)
    readings = []
    if new is not None:
        readings.append(_read_rope_object(f"{fields.where} rope_parameters", new, theta))
    if old is not None or new is None:
        inner = readings[0][0] if readings and theta is None else theta
        readings.append(_read_rope_object(f"{fields.where} rope_scaling", old or {}, inner))
    if any(reading != readings[0] for reading in readings):
        raise ValueError(f"{fields.where}: rope_parameters {new} and rope_scaling {old} disagree; keep the right one")
    return readings[0]


def _read_rope_object(where: str, values: Mapping[str, Any], outer_theta: float | None) -> tuple[float, RopeScaling]:
    fields = Fields(where, values)
    theta = fields.take("rope_theta", float, outer_theta)
    if outer_theta is not None and theta != outer_theta:
        raise ValueError(f"{where}: rope_theta is {theta} here and {outer_theta} beside it; keep the right one")
    kinds = {fields.take(name, str, None) for name in ("rope_type", "type")} - {None}
    kind = kinds.pop() if kinds else "default"
    if kinds or kind not in ROPE_KINDS:
        raise ValueError(f"{where}: rope_type {[kind, *kinds]}; implemented are {', '.join(ROPE_KINDS)}")
    if fields.take("partial_rotary_factor", float, 1.0) != 1.0:
        raise ValueError(f"{where}: partial_rotary_factor below 1 is not implemented")
    scaling = _read_scaling(fields, kind)
    fields.done()
    return (10000.0 if theta is None else theta), scaling


def _read_scaling(fields: Fields, kind: str) -> RopeScaling:
    if kind == "default":
        if fields.take("factor", float, 1.0) != 1.0:
            raise ValueError(f"{fields.where}: a factor without a rope_type; name the rope_type it belongs to")
        return RopeScaling()
    if kind == "linear":
        return RopeScaling(kind="linear", factor=fields.take("factor", float))
    return RopeScaling(
        kind="llama3",
        factor=fields.take("factor", float),
        low_freq_factor=fields.take("low_freq_factor", float),
        high_freq_factor=fields.take("high_freq_factor", float),
        original_max_position=fields.positive("original_max_position_embeddings"),
    )


def _rope_json(config: ModelConfig) -> dict[str, Any]:
    scaling = config.rope_scaling
    out: dict[str, Any] = {"rope_theta": config.rope_theta, "rope_type": scaling.kind}
    if scaling.kind != "default":
        out["factor"] = scaling.factor
    if scaling.kind == "llama3":
        out["low_freq_factor"] = scaling.low_freq_factor
        out["high_freq_factor"] = scaling.high_freq_factor
        out["original_max_position_embeddings"] = scaling.original_max_position
    return out
