"""What published decoder configurations have in common: fields without meaning here, activations, windows."""

from collections.abc import Iterable
from typing import Any

from causeway.engine.model.config import Activation
from causeway.ports.files.config_fields import Fields

# Fields that change nothing about the forward pass. `pretraining_tp` only says in how many slices Meta computed the
# same sums; `is_decoder` asks for what a causal model is anyway.
BOOKKEEPING = (
    "architectures", "transformers_version", "transformers.js_config", "torch_dtype", "dtype", "use_cache", "auto_map",
    "tokenizer_class", "use_bfloat16", "torchscript", "return_dict", "output_attentions", "output_hidden_states",
    "output_past", "chunk_size_feed_forward", "is_encoder_decoder", "is_decoder", "tie_encoder_decoder",
    "cross_attention_hidden_size", "pretraining_tp", "gradient_checkpointing", "cache_implementation",
    "is_llama_config", "unsloth_fixed", "unsloth_version", "max_sequence_length", "n_special",
)  # fmt: skip
TRAINING = ("initializer_range", "attention_dropout", "hidden_dropout", "classifier_dropout", "finetuning_task")
OTHER_HEADS = (
    "id2label", "label2id", "num_labels", "problem_type", "predict_special_tokens", "summary_type", "summary_use_proj",
    "summary_activation", "summary_proj_to_labels", "summary_first_dropout", "task_specific_params",
)  # fmt: skip
# Settings of transformers' generation, which older files carry; what of it ends a text is read by itself.
GENERATION = (
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "prefix", "do_sample",
    "temperature", "top_k", "top_p", "typical_p", "max_length", "min_length", "max_new_tokens", "early_stopping",
    "num_beams", "num_beam_groups", "diversity_penalty", "num_return_sequences", "length_penalty",
    "repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
    "exponential_decay_length_penalty", "output_scores", "return_dict_in_generate",
)  # fmt: skip
IRRELEVANT = (*BOOKKEEPING, *TRAINING, *OTHER_HEADS, *GENERATION)
# Fields that would change the weights or the pass, and the one value for which they do not.
NEUTRAL: dict[str, Any] = {"pruned_heads": {}, "rope_interleaved": False, "quantization_config": None}
ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu",
}  # fmt: skip
PUBLISHED_ACTIVATIONS: dict[Activation, str] = {
    "silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu",
}  # fmt: skip


def whole_heads(fields: Fields, d_model: int, num_heads: int) -> int:
    """The head width of a family whose heads divide the model's width.

    Raises:
        ValueError: they do not.
    """
    if d_model % num_heads:
        raise ValueError(
            f"{fields.where}: width {d_model} is not a multiple of the {num_heads} attention heads; "
            "the configuration is damaged"
        )
    return d_model // num_heads


def require(fields: Fields, name: str, only: Any, default: Any = None) -> None:
    """Take a field that this reader implements for one value alone.

    Raises:
        ValueError: it has another value.
    """
    value = fields.take(name, type(only), only if default is None else default)
    if value != only:
        raise ValueError(f"{fields.where}: field {name} is {value!r}; this reader implements {only!r} alone")


def read_activation(fields: Fields, name: str, default: str) -> Activation:
    """The activation of the MLP.

    Raises:
        ValueError: one that is not implemented.
    """
    value = fields.take(name, str, default)
    if value not in ACTIVATIONS:
        raise ValueError(f"{fields.where}: field {name} is {value!r}; implemented are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[value]


def read_windows(fields: Fields, num_layers: int, window: int, default: tuple[bool, ...]) -> tuple[int, ...]:
    """The window of each layer from `layer_types`, or from the family's own rule where the field is absent.

    Raises:
        ValueError: another number of layers, or a kind of layer that is not implemented.
    """
    kinds = fields.texts("layer_types", None)
    if kinds is None:
        slides = default
    else:
        unknown = set(kinds) - {"full_attention", "sliding_attention"}
        if unknown or len(kinds) != num_layers:
            raise ValueError(
                f"{fields.where}: layer_types names {len(kinds)} layers of kinds {sorted(set(kinds))}; needs "
                f"{num_layers}, each full_attention or sliding_attention"
            )
        slides = tuple(kind == "sliding_attention" for kind in kinds)
    if any(slides) and window <= 0:
        raise ValueError(f"{fields.where}: layers slide, but sliding_window is {window}; needs a number above 0")
    return tuple(window if slide else 0 for slide in slides) if any(slides) else ()


def finish(fields: Fields, unused: Iterable[str] = ()) -> None:
    """Cross off what changes nothing, and refuse what nobody took.

    Names that begin with an underscore are transformers' own notes on an object (`_name_or_path`, `_num_labels`).

    Args:
        unused: further fields of this family that change nothing.

    Raises:
        ValueError: a field that changes the weights or the pass, or fields that are not known.
    """
    for name, value in NEUTRAL.items():
        fields.neutral(name, value)
    fields.ignore((*IRRELEVANT, *unused, *(name for name in fields.left if name.startswith("_"))))
    fields.done()
