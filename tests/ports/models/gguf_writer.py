"""Small models written twice: as a folder in the Hugging Face layout, and as a GGUF file, changed as llama.cpp's
converter changes them."""

import json

import gguf
import numpy as np
from safetensors.numpy import save_file

from causeway.ports.models.families import FAMILIES
from causeway.ports.models.gguf_model import gguf_names

LAYERS = 2
WIDE = {
    "num_hidden_layers": LAYERS, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32, "vocab_size": 40, "rms_norm_eps": 1e-5,
}  # fmt: skip
CONFIGS = {
    "llama": WIDE | {"model_type": "llama", "tie_word_embeddings": False, "rope_theta": 1e4},
    "qwen3": WIDE | {"model_type": "qwen3", "tie_word_embeddings": True, "rope_theta": 1e5, "head_dim": 24},
    "gemma2": WIDE | {
        "model_type": "gemma2", "rope_theta": 1e4, "head_dim": 24, "sliding_window": 5, "query_pre_attn_scalar": 24,
        "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0,
    },
    "qwen2": WIDE | {"model_type": "qwen2", "tie_word_embeddings": True, "rope_theta": 1e6},
    "gemma3": WIDE | {
        "model_type": "gemma3_text", "rope_theta": 1e6, "head_dim": 24, "sliding_window": 5,
        "query_pre_attn_scalar": 24,
    },
    "phi3": WIDE | {
        "model_type": "phi3", "rope_theta": 1e4, "sliding_window": 5, "original_max_position_embeddings": 32,
        "tie_word_embeddings": False,
    },
    "gpt2": {
        "model_type": "gpt2", "n_layer": LAYERS, "n_embd": 64, "n_head": 4, "n_positions": 32, "n_inner": 96,
        "vocab_size": 40, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
    },
    "gptneox": {
        "model_type": "gpt_neox", "num_hidden_layers": LAYERS, "hidden_size": 64, "intermediate_size": 96,
        "num_attention_heads": 4, "max_position_embeddings": 32, "vocab_size": 40, "rotary_pct": 0.25,
        "tie_word_embeddings": False, "layer_norm_eps": 1e-5, "use_parallel_residual": True,
    },
}  # fmt: skip
# What the writer of the gguf library calls the fields.
KEYS = {
    "num_hidden_layers": "block_count", "n_layer": "block_count", "hidden_size": "embedding_length",
    "n_embd": "embedding_length", "intermediate_size": "feed_forward_length", "n_inner": "feed_forward_length",
    "num_attention_heads": "head_count", "n_head": "head_count", "num_key_value_heads": "head_count_kv",
    "max_position_embeddings": "context_length", "n_positions": "context_length", "rms_norm_eps": "layer_norm_rms_eps",
    "layer_norm_eps": "layer_norm_eps", "layer_norm_epsilon": "layer_norm_eps", "rope_theta": "rope_freq_base",
    "head_dim": "key_length", "sliding_window": "sliding_window", "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping", "use_parallel_residual": "parallel_residual",
}  # fmt: skip


def write_both(name, folder, file, *, change=None, types=None, leave="", **more):
    """A random model of an architecture as a folder and as a file; returns the tensors of the folder.

    Args:
        name: the architecture. change: done to the writer before it writes. types: quantisation by GGUF name. leave: a
            field that the file does not get.
    """
    config = CONFIGS[name] | more
    family = FAMILIES[config["model_type"]]
    read = family.read_config(config, "config.json")
    draw = np.random.default_rng(0)
    shapes = {n: entry.shape for entry in family.name_map(read) for n in entry.names(read)}
    tensors = {n: draw.standard_normal(shape).astype(np.float32) for n, shape in shapes.items()}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    write_gguf(name, file, config, tensors, gguf_names(name, family, read), change, types or {}, leave)
    return tensors


def write_gguf(name, file, config, tensors, names, change, types, leave):
    writer = gguf.GGUFWriter(file, name)
    for field, method in KEYS.items():
        if field in config and field != leave:
            getattr(writer, f"add_{method}")(config[field])
    heads = config.get("num_attention_heads", config.get("n_head"))
    width = config.get("head_dim", config.get("hidden_size", config.get("n_embd")) // heads)
    if name != "gpt2":
        writer.add_rope_dimension_count(int(width * config.get("rotary_pct", 1)))
    if change:
        change(writer)
    for published, values in tensors.items():
        changed, kind = converted(name, published, values, config), types.get(names[published], "F32")
        number = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(names[published], gguf.quantize(changed, number), raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def converted(name, published, values, config):
    """What llama.cpp's converter makes of a tensor."""
    kind = published.split(".")[-2]
    if name == "llama" and kind in ("q_proj", "k_proj"):
        heads = config["num_attention_heads" if kind == "q_proj" else "num_key_value_heads"]
        return (
            values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
            .swapaxes(1, 2)
            .reshape(values.shape)
        )
    if name in ("gemma2", "gemma3") and kind.endswith("norm"):
        return values + 1
    if name == "gpt2" and kind in ("c_attn", "c_proj", "c_fc") and values.ndim == 2:
        return np.ascontiguousarray(values.T)
    if name == "gptneox" and kind == "query_key_value":
        heads = config["num_attention_heads"]
        split = values.reshape(heads, 3, values.shape[0] // heads // 3, *values.shape[1:])
        return np.concatenate([split[:, i].reshape(-1, *values.shape[1:]) for i in range(3)])
    return values


def byte_level(writer) -> None:
    """The tokenizer of a file: nine tokens, one merge, an end."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*"abcdefg", "ab", "<end>"])
    writer.add_token_types([1] * 8 + [3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(8)
