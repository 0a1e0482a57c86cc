"""Canonical dictionaries written as SAELens 6 folders: cfg.json and sae_weights.safetensors.

    relu       standard | transcoder | skip_transcoder            topk, abstopk, matching_pursuit   the same names
    jumprelu   jumprelu | jumprelu_transcoder | jumprelu_skip_transcoder          gated             gated

What the format has no form for is refused: signed TopK and groupmax, ranked or gated transcoders, an SAE with a skip
connection, and negative thresholds, which SAELens cuts at 0. Nothing is left to fold in what is written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.whole_folder import replacing_folder
from causeway.ports.dictionaries.saelens import CONFIG, GATED, INPUT_NORMS, WEIGHTS
from causeway.ports.files.safetensors_files import write_tensors
from causeway.ports.files.tensor_checks import to_stored
from causeway.ports.models.site_names import HOOK_OF

VERSION = "6.0.0"
SAES = {
    "relu": "standard", "jumprelu": "jumprelu", "gated": "gated", "topk": "topk", "abstopk": "abstopk",
    "matching_pursuit": "matching_pursuit",
}  # fmt: skip
TRANSCODERS = {
    ("relu", False): "transcoder", ("relu", True): "skip_transcoder",
    ("jumprelu", False): "jumprelu_transcoder", ("jumprelu", True): "jumprelu_skip_transcoder",
}  # fmt: skip
NORMS = {"none": "none"} | {ours: theirs for theirs, ours in INPUT_NORMS.items()}


def write_folder(folder: Path, dictionary: Dictionary, layer: int, metadata: Mapping[str, Any], storage: str) -> None:
    """Write one unstacked dictionary, whole or not at all.

    Args:
        folder: made if absent; a dictionary that is there is replaced.
        dictionary: arrays without a stacking axis.
        layer: the model layer it belongs to.
        metadata: further entries of cfg.json's `metadata` (model_name, figures of its training, ...).
        storage: dtype of the matrices on disk; vectors are float32, which costs next to nothing and keeps thresholds
            and biases as trained.

    Raises:
        ValueError: unknown storage, values not finite in it, or a dictionary that the format has no form for.
    """
    content = _config(dictionary, layer, metadata)
    tensors = {
        name: to_stored(array, name, storage if array.ndim == 2 else "float32")
        for name, array in _published_arrays(dictionary).items()
    }
    with replacing_folder(folder) as partial:
        write_tensors(partial / WEIGHTS, tensors, {"format": "pt"})
        (partial / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def is_written(entry: Path) -> bool:
    """Whether an entry of a folder is a dictionary."""
    return (entry / CONFIG).is_file()


def _config(dictionary: Dictionary, layer: int, metadata: Mapping[str, Any]) -> dict[str, Any]:
    config, pursues = dictionary.config, dictionary.config.kind == "matching_pursuit"
    placed = {"hook_name": _hook(config.stream, layer), "hook_head_index": None}
    if config.is_transcoder:
        placed["hook_name_out"] = _hook(config.output_stream, layer)
    out = {
        "architecture": _architecture(config, hasattr(dictionary, "W_skip")),
        "d_in": dictionary.d_in,
        "d_sae": dictionary.num_features,
        "dtype": "float32",
        "device": "cpu",
        # A pursuit has no encoder bias that could hold what is subtracted.
        "apply_b_dec_to_input": pursues,
        "normalize_activations": NORMS[config.input_norm],
        "reshape_activations": "hook_z" if config.stream == "head_out" and not config.is_transcoder else "none",
        "metadata": {"sae_lens_version": VERSION, "model_name": "", **metadata, **placed},
    }
    if config.is_transcoder:
        out["d_out"] = dictionary.d_out
    if pursues:
        ends = {"residual_threshold": config.residual_threshold, "stop_on_duplicate_support": config.stop_on_duplicate}
        return out | {"max_iterations": config.k} | ends
    return out | ({"k": config.k, "rescale_acts_by_decoder_norm": False} if config.ranked else {})


def _hook(stream: str, layer: int) -> str:
    if stream not in HOOK_OF:
        raise ValueError(f"dictionary: stream {stream!r} has no SAELens name; named are {', '.join(HOOK_OF)}")
    return f"blocks.{layer}.{HOOK_OF[stream]}"


def _architecture(config: DictionaryConfig, skips: bool) -> str:
    if config.is_transcoder:
        found = TRANSCODERS.get((config.kind, skips))
    else:
        found = None if skips else SAES.get(config.kind)
    if found is None:
        what = "transcoder" if config.is_transcoder else "SAE"
        raise ValueError(
            f"dictionary: SAELens has no {config.kind} {what} with{'' if skips else 'out'} a skip connection; it has "
            f"SAEs of {', '.join(SAES)}, and relu and jumprelu transcoders"
        )
    return found


def _published_arrays(dictionary: Dictionary) -> dict[str, np.ndarray]:
    """The arrays under SAELens names; a gated dictionary's b_enc goes where that format has room for it."""
    names = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "W_skip")} | GATED
    arrays = {n: np.asarray(getattr(dictionary, ours)[...]) for ours, n in names.items() if hasattr(dictionary, ours)}
    if dictionary.config.kind == "matching_pursuit":
        return {name: arrays[name] for name in ("W_dec", "b_dec")}
    if "W_skip" in arrays:
        arrays["W_skip"] = arrays["W_skip"].T
    if "threshold" in arrays and (negative := int((arrays["threshold"] < 0).sum())):
        raise ValueError(
            f"dictionary: {negative} thresholds are negative, which SAELens cuts at 0, so its values would differ; "
            "raise them to 0 first if that is meant"
        )
    if dictionary.config.kind == "gated":
        bias = arrays.pop("b_enc").astype(np.float64)
        if bias.any():
            grown = np.exp(arrays["r_mag"].astype(np.float64))
            arrays |= {"b_gate": arrays["b_gate"] + bias, "b_mag": arrays["b_mag"] + bias * grown}
    return arrays
