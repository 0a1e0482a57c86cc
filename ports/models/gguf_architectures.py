"""The architectures of GGUF files: what their keys are in config.json, and how their tensors are laid out.

What llama.cpp's converter changes is changed back:

    heads        rows of query and key weights alternate between the two halves of a head      llama
    plus_one     gains of norms are stored as 1 + w                                            gemma2, gemma3
    transposed   matrices that were [in, out] are [out, in]                                    gpt2
    interleaved  query, key and value were parts of every head and are one after the other     gpt_neox
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from causeway.engine.model.config import ModelConfig
from causeway.ports.files.gguf_tensor import GgufTensor

Layout = Callable[[GgufTensor, ModelConfig], GgufTensor]
LAYERS_OF_27B = (46, 62)  # Gemma-2, Gemma-3
COMMON = {
    "block_count": "num_hidden_layers", "context_length": "max_position_embeddings", "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
    "vocab_size": "vocab_size",
}  # fmt: skip
ROTARY = COMMON | {
    "attention.head_count_kv": "num_key_value_heads", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim", "rope.freq_base": "rope_theta", "attention.sliding_window": "sliding_window",
}  # fmt: skip


def _heads(heads: Callable[[ModelConfig], int]) -> Layout:
    """Rows (2 i, 2 i + 1) of a head back to (i, i + K/2)."""

    def back(tensor: GgufTensor, config: ModelConfig) -> GgufTensor:
        return _reordered(tensor, (heads(config), config.head_dim // 2, 2), 1)

    return back


def _minus_one(tensor: GgufTensor, _: ModelConfig) -> GgufTensor:
    return tensor.shifted(-1)


def _transposed(tensor: GgufTensor, _: ModelConfig) -> GgufTensor:
    """[out, in] back to [in, out]; a bias as it is."""
    return tensor.transposed()


def _interleaved(tensor: GgufTensor, config: ModelConfig) -> GgufTensor:
    return _reordered(tensor, (3, config.num_heads, config.head_dim), 0)


def _reordered(tensor: GgufTensor, shape: tuple[int, int, int], axis: int) -> GgufTensor:
    """Rows seen as an array of that shape, with an axis and the next one exchanged."""
    if tensor.shape[0] != math.prod(shape):
        return tensor  # of a shape that the configuration does not have, which is refused with the others
    return tensor.reordered(np.arange(tensor.shape[0]).reshape(shape).swapaxes(axis, axis + 1).ravel())


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What a GGUF architecture is elsewhere.

    Attributes:
        family: its model_type.
        fields: keys under the architecture's name, and the fields of config.json that they are.
        layouts: by the last part of a tensor's name, how it is put back.
        extra: further fields of config.json, from the keys and the names of the tensors.
    """

    family: str
    fields: Mapping[str, str]
    layouts: Mapping[str, Layout] = dataclasses.field(default_factory=dict)
    extra: Callable[[dict[str, Any], Mapping[str, GgufTensor]], dict[str, Any]] = lambda values, tensors: {}


def _llama_extra(_: dict[str, Any], tensors: Mapping[str, GgufTensor]) -> dict[str, Any]:
    return {
        "attention_bias": "blk.0.attn_output.bias" in tensors or "blk.0.attn_q.bias" in tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in tensors,
    }


def _gemma_extra(values: dict[str, Any], _: Mapping[str, GgufTensor]) -> dict[str, Any]:
    # The scale of scores is no key; it is that of the head width but for the largest model of each family.
    wide = values["num_hidden_layers"] in LAYERS_OF_27B
    width = values["hidden_size"] // values["num_attention_heads"] if wide else values["head_dim"]
    return {"query_pre_attn_scalar": width}


def _gpt_neox_extra(values: dict[str, Any], _: Mapping[str, GgufTensor]) -> dict[str, Any]:
    return {"rotary_pct": values.pop("rotary_dim") * values["num_attention_heads"] / values["hidden_size"]}


QUERY_KEY = {"attn_q": _heads(lambda c: c.num_heads), "attn_k": _heads(lambda c: c.num_kv_heads)}
GAINS = (
    "attn_norm", "ffn_norm", "output_norm", "post_attention_norm", "post_ffw_norm", "attn_q_norm", "attn_k_norm",
)  # fmt: skip
CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
ARCHITECTURES = {
    "llama": Architecture("llama", ROTARY, QUERY_KEY, _llama_extra),
    "qwen2": Architecture("qwen2", ROTARY),
    "qwen3": Architecture("qwen3", ROTARY),
    "gemma2": Architecture(
        "gemma2", ROTARY | dict(zip(CAPS, CAPS, strict=True)), dict.fromkeys(GAINS, _minus_one), _gemma_extra
    ),
    "gemma3": Architecture(
        "gemma3_text",
        ROTARY | {"final_logit_softcapping": CAPS[1], "rope.freq_base_swa": "rope_local_base_freq"},
        dict.fromkeys(GAINS, _minus_one),
        _gemma_extra,
    ),
    "phi3": Architecture("phi3", ROTARY),
    "gpt2": Architecture(
        "gpt2",
        {
            "block_count": "n_layer", "context_length": "n_positions", "embedding_length": "n_embd",
            "feed_forward_length": "n_inner", "attention.head_count": "n_head",
            "attention.layer_norm_epsilon": "layer_norm_epsilon", "vocab_size": "vocab_size",
        },
        dict.fromkeys(("attn_qkv", "attn_output", "ffn_up", "ffn_down"), _transposed),
    ),
    "gptneox": Architecture(
        "gpt_neox",
        COMMON | {
            "attention.layer_norm_epsilon": "layer_norm_eps", "use_parallel_residual": "use_parallel_residual",
            "rope.dimension_count": "rotary_dim", "rope.freq_base": "rotary_emb_base",
        },
        {"attn_qkv": _interleaved},
        _gpt_neox_extra,
    ),
}  # fmt: skip
