"""SAELens cfg.json: what a dictionary is, where it reads and writes, and which folds its arrays need.

The fields of the dictionary proper fail closed; `metadata` is an open record by design, of which only what places the
dictionary in the network is understood, and some of the rest is kept as its card.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from causeway.engine.scalars import shown
from causeway.ports.dictionaries.saelens_versions import TRAINING_ONLY, is_old, migrate
from causeway.ports.dictionaries.sites import Sites, layer_of, read_sites
from causeway.ports.files.config_fields import MOST_LETTERS, Fields
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

SAES = ("standard", "gated", "jumprelu", "topk", "abstopk", "matching_pursuit")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
ARCHITECTURES = (*SAES, *TRANSCODERS)
RANKED = ("topk", "abstopk")
_EXPORT = "it is a training checkpoint; export it with SAELens (sae.save_inference_model), which makes it a jumprelu"
REFUSED = {
    "temporal": "its features depend on earlier tokens, so they are no function of one vector",
    "batchtopk": _EXPORT,
    "matryoshka_batchtopk": _EXPORT,
}
NORMS = ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in", "covariance_whitening")
# What TransformerLens may be asked to change of a model, and the streams that it changes. Centred weights write nothing
# to the direction of all ones, so whatever lies on the stream is without its mean there; value biases folded into the
# output bias are missing from the heads' outputs; folded norms leave the gain out of what follows them.
CENTRES = "center_writing_weights"
CENTRED = ("resid_pre", "resid_mid", "resid_post", "attn_raw", "attn_out", "mlp_raw", "mlp_out")
PROCESSING = {
    "fold_ln": ("attn_in", "mlp_in"), "fold_value_biases": ("head_out",),
    "refactor_factored_attn_matrices": ("head_out",), "center_unembed": (),
}  # fmt: skip
# What says which weights are loaded and how, not what is computed with them.
LOADING = (
    "n_devices", "device", "device_map", "dtype", "torch_dtype", "revision", "checkpoint_index", "checkpoint_value",
    "cache_dir", "token", "trust_remote_code", "local_files_only", "low_cpu_mem_usage", "attn_implementation",
    "default_padding_side", "default_prepend_bos", "move_to_device", "force_download",
)  # fmt: skip
CARD = (
    "context_size", "prepend_bos", "dataset_path", "seqpos_slice", "exclude_special_tokens", "neuronpedia_id",
    "model_from_pretrained_kwargs", "training_architecture", "sae_lens_version",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SaelensConfig:
    """One dictionary's configuration.

    Attributes:
        where: path of the file, for errors.
        architecture: one of `ARCHITECTURES`.
        d_in, d_sae, d_out: D, F and O.
        site: the layer, and the streams it reads and writes.
        norm: one of `NORMS`.
        k: features kept (topk, abstopk) or most iterations (matching_pursuit), else 0.
        residual_threshold, stop_on_duplicate: when a matching pursuit ends.
        subtracts_bias: b_dec is subtracted from the input before encoding.
        rescales: pre-activations are ranked times the norms of their decoder rows.
        finetuned_scale: an old file whose feature values are multiplied by `scaling_factor` before decoding.
        centred: its input is the stream less the stream's mean over its width.
        model_name: the language model it was trained on, "" when not written down.
        card: what else the file says of its training.
    """

    where: str
    architecture: str
    d_in: int
    d_sae: int
    d_out: int
    site: Sites
    norm: str
    k: int
    residual_threshold: float
    stop_on_duplicate: bool
    subtracts_bias: bool
    rescales: bool
    finetuned_scale: bool
    centred: bool
    model_name: str
    card: Mapping[str, Any]


def read_saelens_config(values: Mapping[str, Any], where: str, names: SiteNames = ANY_MODEL) -> SaelensConfig:
    """A cfg.json of any version, for a model that calls its places by these names.

    Raises:
        ValueError: a field is missing, unknown, or asks for something that cannot be folded exactly.
    """
    old = is_old(values)
    fields = Fields(where, migrate(values, where) if old else values)
    metadata = fields.take("metadata", dict, {})
    architecture = _architecture(where, fields)
    norm = fields.take("normalize_activations", str, "none")
    if norm not in NORMS:
        raise ValueError(f"{where}: normalize_activations {norm!r} is not read; read are {', '.join(NORMS)}")
    transcodes, pursues = architecture in TRANSCODERS, architecture == "matching_pursuit"
    site = _read_site(where, metadata, transcodes, fields.take("reshape_activations", str, "none"), names)
    d_in = fields.positive("d_in")
    config = SaelensConfig(
        where=where,
        architecture=architecture,
        d_in=d_in,
        d_sae=fields.positive("d_sae"),
        d_out=fields.positive("d_out") if transcodes else d_in,
        site=site,
        norm=norm,
        k=fields.positive("k") if architecture in RANKED else fields.positive("max_iterations", d_in) if pursues else 0,
        residual_threshold=fields.take("residual_threshold", float, 1e-2) if pursues else 0.0,
        stop_on_duplicate=fields.take("stop_on_duplicate_support", bool, True) if pursues else False,
        subtracts_bias=fields.take("apply_b_dec_to_input", bool, not transcodes),
        rescales=fields.take("rescale_acts_by_decoder_norm", bool, False) if architecture in RANKED else False,
        finetuned_scale=fields.take("finetuning_scaling_factor", bool, False) if old else False,
        centred=_centred(where, metadata.get("model_from_pretrained_kwargs"), site.stream),
        model_name=str(metadata.get("model_name") or ""),
        card={name: metadata[name] for name in CARD if metadata.get(name) is not None},
    )
    fields.ignore(("dtype", "device", "sae_lens_version", "sae_lens_training_version", *TRAINING_ONLY))
    fields.done()
    _check(config)
    return config


def saelens_layer(values: Mapping[str, Any], where: str) -> int:
    """The layer of a cfg.json, whatever else is in it.

    Raises:
        ValueError: it names no place in the network.
    """
    metadata = (migrate({**values, "activation_fn": None}, where) if is_old(values) else values).get("metadata")
    name = _named(where, metadata.get("hook_name") if isinstance(metadata, Mapping) else None)
    return layer_of(f"{where}: hook_name", name)


def _architecture(where: str, fields: Fields) -> str:
    architecture = fields.take("architecture", str)
    if architecture in REFUSED:
        raise ValueError(f"{where}: architecture {architecture!r} is not read: {REFUSED[architecture]}")
    if architecture not in ARCHITECTURES:
        raise ValueError(f"{where}: architecture {architecture!r} is not read; read are {', '.join(ARCHITECTURES)}")
    return architecture


def _named(where: str, name: Any) -> str:
    if not isinstance(name, str) or len(name) > MOST_LETTERS:
        raise ValueError(f"{where}: hook_name is {shown(name)}; without it the dictionary has no place in the model")
    return name


def _read_site(where: str, metadata: Mapping[str, Any], transcodes: bool, reshape: str, names: SiteNames) -> Sites:
    name, written = _named(where, metadata.get("hook_name")), metadata.get("hook_name_out")
    written = None if written is None else _named(where, written)
    if transcodes != (written not in (None, name)):
        raise ValueError(
            f"{where}: hook_name {name!r}, hook_name_out {written!r}: a transcoder writes another hook than it reads, "
            "and every other architecture the same"
        )
    sites = read_sites(f"{where}: hook_name", name, written or name, names)
    index = metadata.get("hook_head_index")
    if index is not None:
        raise ValueError(f"{where}: hook_head_index is {shown(index)}; read are dictionaries of all heads side by side")
    if reshape not in ("none", "hook_z") or (reshape == "hook_z" and (sites.stream != "head_out" or transcodes)):
        raise ValueError(
            f"{where}: reshape_activations {reshape!r} with hook_name {name!r}: hook_z goes with an SAE of "
            "attn.hook_z, and all other dictionaries have none"
        )
    return sites


def _centred(where: str, kwargs: Any, stream: str) -> bool:
    """Whether the model that the dictionary was trained on had a centred stream where it reads.

    Raises:
        ValueError: the model was changed in a way that the dictionary sees and no fold undoes, or that is not known.
    """
    if not isinstance(kwargs or {}, Mapping):
        raise ValueError(f"{where}: model_from_pretrained_kwargs is {kwargs!r}; needs an object")
    asked = {
        name: value for name, value in (kwargs or {}).items() if name not in LOADING and value not in (None, False)
    }
    seen = [name for name in asked if name != CENTRES and stream in PROCESSING.get(name, (stream,))]
    if seen:
        raise ValueError(
            f"{where}: model_from_pretrained_kwargs {seen[0]} is {asked[seen[0]]!r}, which changes {stream} in a way "
            "that is not undone here; use a dictionary of the unprocessed model"
        )
    return CENTRES in asked and stream in CENTRED


def _check(config: SaelensConfig) -> None:
    where = config.where
    if config.architecture in RANKED and config.k > config.d_sae:
        raise ValueError(f"{where}: k = {config.k} is more than d_sae = {config.d_sae}")
    if config.subtracts_bias and config.architecture in TRANSCODERS:
        raise ValueError(f"{where}: apply_b_dec_to_input is true, but a transcoder's b_dec belongs to its output")
    if config.centred and (config.architecture == "matching_pursuit" or config.norm == "constant_norm_rescale"):
        raise ValueError(
            f"{where}: a centred stream ({CENTRES}) with {config.architecture}, normalize_activations {config.norm!r} "
            "has no exact fold; use a dictionary trained on the unprocessed model"
        )
    if config.norm == "covariance_whitening" and config.architecture not in ("standard", "gated", "jumprelu", *RANKED):
        raise ValueError(
            f"{where}: a {config.architecture} with normalize_activations 'covariance_whitening' has no exact fold; "
            "use one trained without it"
        )
