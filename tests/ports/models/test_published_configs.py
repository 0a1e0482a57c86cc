"""Published configurations are read in full and build, at their real sizes and without memory, what was published.

The objects are each repository's config.json as published, fields that change nothing included.
"""

import math

import jax
import pytest

from causeway.engine.model.config import Numerics
from causeway.engine.model.transformer import abstract_transformer
from causeway.ports.models.load import FAMILIES

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu", "initializer_range": 0.02,
    "max_position_embeddings": 131072, "mlp_bias": False, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0, "torch_dtype": "bfloat16", "transformers_version": "4.43.0.dev0", "use_cache": True,
    "vocab_size": 128256,
}  # fmt: skip


def llama(layers, width, heads, ff, factor, **changes):
    scaling = {
        "factor": factor, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }  # fmt: skip
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": ff}
    return LLAMA | sizes | {"num_key_value_heads": 8, "rope_scaling": scaling} | changes


def qwen3(layers, width, heads, ff, tied):
    return {
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": width,
        "initializer_range": 0.02, "intermediate_size": ff, "max_position_embeddings": 40960,
        "max_window_layers": layers, "num_attention_heads": heads, "num_hidden_layers": layers,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "tie_word_embeddings": tied, "torch_dtype": "bfloat16", "use_cache": True,
        "transformers_version": "4.51.0", "use_sliding_window": False, "vocab_size": 151936,
    }  # fmt: skip


def gpt2(layers, width, heads, **more):
    return more | {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
        "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "n_ctx": 1024, "n_embd": width, "n_head": heads, "n_layer": layers,
        "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": 50257,
    }  # fmt: skip


# What the larger GPT-2s and the distilled one carry beside.
LARGER = {"n_special": 0, "predict_special_tokens": True}
DISTILLED = {
    "_num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "_name_or_path": "gpt2",
    "gradient_checkpointing": False, "transformers_version": "4.8.2", "use_cache": True,
}  # fmt: skip
SMOLLM2 = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536, "is_llama_config": True, "max_position_embeddings": 8192, "mlp_bias": False,
    "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
    "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None,
    "rope_theta": 100000, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    "transformers_version": "4.42.3", "use_cache": True, "vocab_size": 49152,
}  # fmt: skip
PYTHIA = {
    "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0,
    "hidden_act": "gelu", "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 4096,
    "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 16, "num_hidden_layers": 24,
    "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False, "torch_dtype": "float16",
    "use_cache": True, "use_parallel_residual": True, "vocab_size": 50304,
}  # fmt: skip
GEMMA2 = {
    "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": 1,
    "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "initializer_range": 0.02,
    "intermediate_size": 9216, "max_position_embeddings": 8192, "num_attention_heads": 8, "num_hidden_layers": 26,
    "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "float32", "use_cache": True, "vocab_size": 256000,
}  # fmt: skip
PUBLISHED = {
    "Llama-3.1-8B": (llama(32, 4096, 32, 14336, 8.0, tie_word_embeddings=False), 8_030_261_248),
    "Llama-3.2-1B": (llama(16, 2048, 32, 8192, 32.0, tie_word_embeddings=True, head_dim=64), 1_235_814_400),
    "Qwen3-0.6B": (qwen3(28, 1024, 16, 3072, True), 596_049_920),
    "Qwen3-1.7B": (qwen3(28, 2048, 16, 6144, True), 1_720_574_976),
    "Qwen3-4B": (qwen3(36, 2560, 32, 9728, True), 4_022_468_096),
    "Qwen3-8B": (qwen3(36, 4096, 32, 12288, False), 8_190_735_360),
    "Qwen3-14B": (qwen3(40, 5120, 40, 17408, False), 14_768_307_200),
    "GPT-2": (gpt2(12, 768, 12), 124_439_808),
    "GPT-2 medium": (gpt2(24, 1024, 16, **LARGER), 354_823_168),
    "GPT-2 large": (gpt2(36, 1280, 20, **LARGER), 774_030_080),
    "GPT-2 XL": (gpt2(48, 1600, 25, output_past=True, **LARGER), 1_557_611_200),
    "DistilGPT-2": (gpt2(6, 768, 12, **DISTILLED), 81_912_576),
    "SmolLM2-135M-Instruct": (SMOLLM2, 134_515_008),
    "Llama-3.2-1B, an unsloth copy": (
        llama(16, 2048, 32, 8192, 32.0, tie_word_embeddings=True, head_dim=64, pad_token_id=128004, unsloth_fixed=True),
        1_235_814_400,
    ),
    "Llama-3.1-8B-Instruct": (
        llama(32, 4096, 32, 14336, 8.0, tie_word_embeddings=False, eos_token_id=[128001, 128008, 128009]),
        8_030_261_248,
    ),
    "Pythia-410M": (PYTHIA, 405_334_016),
    "Gemma-2-2B": (GEMMA2, 2_614_341_888),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_number_of_parameters(name):
    values, count = PUBLISHED[name]
    family = FAMILIES[values["model_type"]]
    config = family.read_config(values, "config.json")
    leaves = jax.tree.leaves(abstract_transformer(config, Numerics(storage="bfloat16")))
    assert sum(leaf.size for leaf in leaves) == count
    assert {str(leaf.dtype) for leaf in leaves} == {"bfloat16"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_parameter_has_its_tensor(name):
    values, count = PUBLISHED[name]
    family = FAMILIES[values["model_type"]]
    config = family.read_config(values, "config.json")
    sizes = {}
    for entry in family.name_map(config):
        sizes |= dict.fromkeys(entry.names(config), entry.shape)
    assert sum(math.prod(shape) for shape in sizes.values()) == count


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_field_nobody_knows_is_refused(name):
    values, _ = PUBLISHED[name]
    with pytest.raises(ValueError, match="unknown fields new_switch=True"):
        FAMILIES[values["model_type"]].read_config(values | {"new_switch": True}, "config.json")


@pytest.mark.parametrize(
    "field",
    [
        {"tokenizer_class": "GPT2Tokenizer"},
        {"auto_map": {"AutoConfig": "configuration.Config"}},
        {"max_sequence_length": 2048},
        {"_commit_hash": "abc", "_private_note": [1, 2]},
        {"pruned_heads": {}, "quantization_config": None},
        {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_length": 4096},
    ],
)
@pytest.mark.parametrize("name", ["Llama-3.1-8B", "Qwen3-0.6B", "GPT-2", "Pythia-410M", "Gemma-2-2B"])
def test_fields_that_change_nothing_are_passed(name, field):
    values, _ = PUBLISHED[name]
    read_config = FAMILIES[values["model_type"]].read_config
    assert read_config(values | field, "config.json") == read_config(values, "config.json")


@pytest.mark.parametrize(
    "field",
    [
        {"rope_interleaved": True},
        {"pruned_heads": {"3": [1]}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    ],
)
@pytest.mark.parametrize("name", ["Llama-3.1-8B", "GPT-2"])
def test_fields_that_change_the_model_are_refused(name, field):
    values, _ = PUBLISHED[name]
    with pytest.raises(ValueError, match=f"config.json: field {next(iter(field))} is .*which changes the model"):
        FAMILIES[values["model_type"]].read_config(values | field, "config.json")


def test_a_share_of_a_head_below_one_coordinate_turns_none():
    values = PYTHIA | {"hidden_size": 64, "rotary_pct": 0.2}
    config = FAMILIES["gpt_neox"].read_config(values, "config.json")
    assert (config.rotary_dim, config.rotary_width) == (0, 0)
    assert FAMILIES["llama"].read_config(PUBLISHED["Llama-3.1-8B"][0], "config.json").rotary_width == 128
