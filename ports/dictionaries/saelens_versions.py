"""SAELens configurations before version 6, in version 6's form, migrated the way SAELens itself migrates them.

Version 6 nests what describes the language model under `metadata`; older files are flat, name some fields otherwise,
spell TopK as an activation function, and carry the whole training run.
"""

import re
from collections.abc import Mapping
from typing import Any

from causeway.engine.scalars import shown

RENAMED = {
    "hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "hook_point_layer": "hook_layer",
    "activation_fn_str": "activation_fn",
}  # fmt: skip
MOVED = (
    "model_name", "hook_name", "hook_head_index", "hook_layer", "hook_name_out", "hook_layer_out",
    "hook_head_index_out", "context_size", "prepend_bos", "seqpos_slice", "model_from_pretrained_kwargs",
    "dataset_path", "dataset_trust_remote_code", "neuronpedia_id", "sae_lens_version", "sae_lens_training_version",
    "exclude_special_tokens", "model_class_name",
)  # fmt: skip
# How a dictionary was trained, not what it computes.
TRAINING_ONLY = (
    "is_dataset_tokenized", "use_cached_activations", "cached_activations_path", "n_batches_in_buffer",
    "training_tokens", "total_training_tokens", "store_batch_size", "store_batch_size_prompts",
    "train_batch_size", "train_batch_size_tokens", "eval_batch_size_prompts", "n_eval_batches", "seed",
    "b_dec_init_method", "expansion_factor", "from_pretrained_path", "l1_coefficient", "l0_coefficient", "lp_norm",
    "lr", "lr_end", "lr_scheduler_name", "lr_warm_up_steps", "lr_decay_steps", "l1_warm_up_steps",
    "l0_warm_up_steps", "n_restart_cycles", "adam_beta1", "adam_beta2", "mse_loss_normalization",
    "use_ghost_grads", "feature_sampling_window", "feature_sampling_method", "resample_batches",
    "feature_reinit_scale", "dead_feature_window", "dead_feature_estimation_method", "dead_feature_threshold",
    "log_to_wandb", "wandb_project", "wandb_entity", "wandb_id", "run_name", "wandb_log_frequency",
    "eval_every_n_wandb_logs", "n_checkpoints", "checkpoint_path", "resume", "tokens_per_buffer", "verbose",
    "streaming", "autocast", "autocast_lm", "compile_llm", "llm_compilation_mode", "compile_sae",
    "sae_compilation_mode", "act_store_device", "init_encoder_as_decoder_transpose", "decoder_orthogonal_init",
    "normalize_sae_decoder", "noise_scale", "scale_sparsity_penalty_by_decoder_norm",
    "decoder_heuristic_init", "decoder_heuristic_init_norm", "decoder_init_norm", "jumprelu_init_threshold",
    "jumprelu_bandwidth", "jumprelu_sparsity_loss_mode", "jumprelu_tanh_scale", "pre_act_loss_coefficient",
    "aux_loss_coefficient", "use_sparse_activations", "finetuning_tokens", "finetuning_method", "hook_eval",
    "hook_point_eval", "model_kwargs", "resume_from_checkpoint", "sequence_separator_token",
    "disable_concat_sequences", "output_path", "save_final_checkpoint", "logger", "log_activations_store_to_wandb",
    "log_optimizer_state_to_wandb", "total_training_samples", "train_batch_size_samples", "topk_threshold_lr",
    "matryoshka_widths",
)  # fmt: skip


def corrected(values: Mapping[str, Any], corrections: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with some entries replaced, wherever its version keeps them."""
    nested = values.get("metadata")
    if is_old(values) or not isinstance(nested, Mapping):
        return {**values, **corrections}
    moved = {name: value for name, value in corrections.items() if name in MOVED}
    return {**values, **{k: v for k, v in corrections.items() if k not in moved}, "metadata": {**nested, **moved}}


def is_old(values: Mapping[str, Any]) -> bool:
    """Before version 6, or of no stated version: a flat file."""
    metadata = values.get("metadata")
    nested = metadata.get("sae_lens_version") if isinstance(metadata, Mapping) else None
    match = re.match(r"(\d+)\.", str(values.get("sae_lens_version") or nested or "0.0"))
    return match is None or int(match[1]) < 6


def migrate(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A flat file in version 6's form; the defaults are those its version had.

    Raises:
        ValueError: an activation function that is not read.
    """
    flat = {RENAMED.get(name, name): value for name, value in values.items()}
    activation = flat.pop("activation_fn", None) or "relu"
    options = flat.pop("activation_fn_kwargs", None) or {}
    if not isinstance(options, Mapping):
        raise ValueError(f"{where}: field activation_fn_kwargs is {shown(options)}; needs an object")
    flat.setdefault("architecture", "standard")
    if activation == "topk":
        flat |= {"architecture": "topk", "k": options.get("k")}
    elif activation != "relu":
        raise ValueError(f"{where}: activation_fn {activation!r} is not read; read are relu and topk")
    norm = flat.get("normalize_activations")
    flat["normalize_activations"] = {None: "none", False: "none", True: "expected_average_only_in"}.get(norm, norm)
    metadata = flat.pop("metadata", None) or {}
    if not isinstance(metadata, Mapping):
        raise ValueError(f"{where}: field metadata is {shown(metadata)}; needs an object")
    metadata = dict(metadata)
    metadata |= {name: flat.pop(name) for name in MOVED if name in flat}
    if flat.get("reshape_activations") is None and "hook_z" in str(metadata.get("hook_name")):
        flat["reshape_activations"] = "hook_z"
    return {**flat, "metadata": metadata}
