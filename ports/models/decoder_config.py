"""What published decoder configurations have in common: fields without meaning here, activations, rotary positions.

Both spellings of rotary positions are read: `rope_theta` beside `rope_scaling` (older files), and one
`rope_parameters` (transformers 5); kinds `default`, `linear` and `llama3`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from causeway.engine.model.config import Activation, ModelConfig, RopeScaling
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
ROPE_KINDS = ("default", "linear", "llama3")
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


@dataclasses.dataclass(frozen=True)
class Rope:
    """Rotary positions as published; `share` is the part of a head that turns, None where the file does not say."""

    theta: float
    scaling: RopeScaling
    share: float | None = None


def read_rope(fields: Fields) -> Rope:
    """Base, scaling and share from either spelling; when both are there they must agree.

    Raises:
        ValueError: the spellings disagree, or ask for a kind that is not implemented.
    """
    new, old = fields.take("rope_parameters", dict, None), fields.take("rope_scaling", dict, None)
    theta = fields.take("rope_theta", float, None)
    readings = []
    if new is not None:
        readings.append(_read_rope_object(f"{fields.where} rope_parameters", new, theta))
    if old is not None or new is None:
        inner = readings[0].theta if readings and theta is None else theta
        readings.append(_read_rope_object(f"{fields.where} rope_scaling", old or {}, inner))
    if any(reading != readings[0] for reading in readings):
        raise ValueError(f"{fields.where}: rope_parameters {new} and rope_scaling {old} disagree; keep the right one")
    return readings[0]


def _read_rope_object(where: str, values: Mapping[str, Any], outer_theta: float | None) -> Rope:
    fields = Fields(where, values)
    theta = fields.take("rope_theta", float, outer_theta)
    if outer_theta is not None and theta != outer_theta:
        raise ValueError(f"{where}: rope_theta is {theta} here and {outer_theta} beside it; keep the right one")
    kinds = {fields.take(name, str, None) for name in ("rope_type", "type")} - {None}
    kind = kinds.pop() if kinds else "default"
    if kinds or kind not in ROPE_KINDS:
        raise ValueError(f"{where}: rope_type {[kind, *kinds]}; implemented are {', '.join(ROPE_KINDS)}")
    share = fields.take("partial_rotary_factor", float, None)
    scaling = _read_scaling(fields, kind)
    fields.done()
    return Rope(10000.0 if theta is None else theta, scaling, share)


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


def rope_json(config: ModelConfig) -> dict[str, Any]:
    """`rope_parameters` as transformers 5 writes it."""
    scaling = config.rope_scaling
    out: dict[str, Any] = {"rope_theta": config.rope_theta, "rope_type": scaling.kind}
    if scaling.kind != "default":
        out["factor"] = scaling.factor
    if scaling.kind == "llama3":
        out["low_freq_factor"] = scaling.low_freq_factor
        out["high_freq_factor"] = scaling.high_freq_factor
        out["original_max_position_embeddings"] = scaling.original_max_position
    return out
