"""SAELens cfg.json: what a dictionary is, where it reads, and which folds its arrays need.

Version 6 nests what describes the language model under `metadata`; older files are flat and are first migrated to
that form the way SAELens itself migrates them. The fields of the dictionary proper fail closed; `metadata` is an open
record by design, of which only what places the dictionary in the network is read.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from causeway.engine.intervention.sites import Site, parse_site
from causeway.ports.config_fields import Fields

ARCHITECTURES = ("standard", "gated", "jumprelu", "topk")
# Streams of one vector a position; a dictionary on any of them is read and written there.
STREAMS = ("resid_pre", "attn_in", "attn_out", "resid_mid", "mlp_norm", "mlp_in", "mlp_act", "mlp_out", "resid_post")
# The spelling used when writing.
HOOKS = {
    "resid_pre": "hook_resid_pre", "attn_out": "hook_attn_out", "resid_mid": "hook_resid_mid",
    "mlp_norm": "ln2.hook_normalized", "mlp_in": "mlp.hook_in", "mlp_act": "mlp.hook_post",
    "mlp_out": "hook_mlp_out", "resid_post": "hook_resid_post",
}  # fmt: skip
# Norms that depend on each input at run time (or on a constant that the file does not hold), and why each is refused.
NORMS = {
    "layer_norm": "it rescales every token by its own mean and deviation, which no fixed array can hold",
    "constant_norm_rescale": "it rescales every token by its own norm, which no fixed array can hold",
    "constant_scalar_rescale": "its factor is not in the file",
    "expected_average_only_in": (
        "its factor is not in the file; fold it with SAELens (fold_activation_norm_scaling_factor) and save again"
    ),
    "covariance_whitening": "its matrix is not in the file; fold it with SAELens and save again",
}
VERSION = "6.0.0"

RENAMED = {
    "hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "hook_point_layer": "hook_layer",
    "activation_fn_str": "activation_fn",
}  # fmt: skip
MOVED = (
    "model_name", "hook_name", "hook_head_index", "hook_layer", "context_size", "prepend_bos", "seqpos_slice",
    "model_from_pretrained_kwargs", "dataset_path", "dataset_trust_remote_code", "neuronpedia_id",
    "sae_lens_version", "sae_lens_training_version", "exclude_special_tokens", "model_class_name",
)  # fmt: skip
# How an old dictionary was trained, not what it computes.
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
    "decoder_heuristic_init", "decoder_heuristic_init_norm", "jumprelu_init_threshold", "jumprelu_bandwidth",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SaelensConfig:
    """One dictionary's configuration.

    Attributes:
        where: path of the file, for errors.
        architecture: one of `ARCHITECTURES`.
        d_in, d_sae: D and F.
        site: the layer and stream it reads and writes.
        k: kept features of topk, else 0.
        subtracts_bias: b_dec is subtracted from the input before encoding.
        rescales: topk ranks pre-activations times the norms of their decoder rows.
        finetuned_scale: an old file whose feature values are multiplied by `scaling_factor` before decoding.
        model_name: the language model it was trained on, "" when not written down.
    """

    where: str
    architecture: str
    d_in: int
    d_sae: int
    site: Site
    k: int
    subtracts_bias: bool
    rescales: bool
    finetuned_scale: bool
    model_name: str


def read_saelens_config(values: Mapping[str, Any], where: str) -> SaelensConfig:
    """A cfg.json of any version.

    Raises:
        ValueError: a field is missing, unknown, or asks for something that cannot be folded exactly.
    """
    old = _is_old(values)
    fields = Fields(where, _migrate(values, where) if old else values)
    metadata = fields.take("metadata", dict, {})
    architecture = fields.take("architecture", str)
    if architecture not in ARCHITECTURES:
        raise ValueError(f"{where}: architecture {architecture!r} is not read; read are {', '.join(ARCHITECTURES)}")
    _refuse_norm(where, fields.take("normalize_activations", str, "none"))
    _refuse_reshape(where, fields.take("reshape_activations", str, "none"), metadata)
    topk = architecture == "topk"
    config = SaelensConfig(
        where=where,
        architecture=architecture,
        d_in=fields.positive("d_in"),
        d_sae=fields.positive("d_sae"),
        site=_read_site(where, metadata),
        k=fields.positive("k") if topk else 0,
        subtracts_bias=fields.take("apply_b_dec_to_input", bool, True),
        rescales=fields.take("rescale_acts_by_decoder_norm", bool, False) if topk else False,
        finetuned_scale=fields.take("finetuning_scaling_factor", bool, False) if old else False,
        model_name=str(metadata.get("model_name") or ""),
    )
    fields.ignore(("dtype", "device", "sae_lens_version", "sae_lens_training_version"))
    fields.done()
    if config.k > config.d_sae:
        raise ValueError(f"{where}: k = {config.k} is more than d_sae = {config.d_sae}")
    return config


def saelens_json(site: Site, architecture: str, d_in: int, d_sae: int, k: int, metadata: Mapping) -> dict[str, Any]:
    """The cfg.json (version 6) of a canonical dictionary, in which nothing is left to fold."""
    placed = {"hook_name": f"blocks.{site.layer}.{HOOKS[site.stream]}", "hook_head_index": None}
    out = {
        "architecture": architecture,
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": VERSION, "model_name": "", **metadata, **placed},
    }
    return out | ({"k": k, "rescale_acts_by_decoder_norm": False} if architecture == "topk" else {})


def _is_old(values: Mapping[str, Any]) -> bool:
    """Before version 6, or of no stated version: a flat file."""
    metadata = values.get("metadata")
    nested = metadata.get("sae_lens_version") if isinstance(metadata, Mapping) else None
    match = re.match(r"(\d+)\.", str(values.get("sae_lens_version") or nested or "0.0"))
    return match is None or int(match[1]) < 6


def _migrate(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A flat file in version 6's form; the defaults are those its version had."""
    flat = {RENAMED.get(name, name): value for name, value in values.items() if name not in TRAINING_ONLY}
    activation = flat.pop("activation_fn", None) or "relu"
    options = flat.pop("activation_fn_kwargs", None) or {}
    flat.setdefault("architecture", "standard")
    if activation == "topk":
        flat |= {"architecture": "topk", "k": options.get("k")}
    elif activation != "relu":
        raise ValueError(f"{where}: activation_fn {activation!r} is not read; read are relu and topk")
    norm = flat.get("normalize_activations")
    flat["normalize_activations"] = {None: "none", False: "none", True: "expected_average_only_in"}.get(norm, norm)
    metadata = dict(flat.pop("metadata", None) or {})
    metadata |= {name: flat.pop(name) for name in MOVED if name in flat}
    if flat.get("reshape_activations") is None and "hook_z" in str(metadata.get("hook_name")):
        flat["reshape_activations"] = "hook_z"
    return {**flat, "metadata": metadata}


def _refuse_norm(where: str, norm: str) -> None:
    if norm != "none":
        reason = NORMS.get(norm, "it is not known here")
        raise ValueError(f"{where}: normalize_activations {norm!r} cannot be folded into the arrays: {reason}")


def _refuse_reshape(where: str, reshape: str, metadata: Mapping[str, Any]) -> None:
    if reshape != "none" or metadata.get("hook_head_index") is not None:
        raise ValueError(
            f"{where}: reshape_activations {reshape!r}, hook_head_index {metadata.get('hook_head_index')!r}: "
            "dictionaries of attention heads are not read; use one on a stream of whole vectors"
        )


def _read_site(where: str, metadata: Mapping[str, Any]) -> Site:
    name, written = metadata.get("hook_name"), metadata.get("hook_name_out")
    if not isinstance(name, str):
        raise ValueError(f"{where}: hook_name is {name!r}; without it the dictionary has no place in the model")
    try:
        site = parse_site(name)
    except ValueError as error:
        raise ValueError(f"{where}: hook_name: {error}") from None
    if site.stream not in STREAMS or written not in (None, name):
        raise ValueError(
            f"{where}: hook_name {name!r}, hook_name_out {written!r}: "
            f"needs one hook, on a stream of whole vectors ({', '.join(STREAMS)})"
        )
    return site
