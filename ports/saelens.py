"""SAELens folders (cfg.json and sae_weights.safetensors) to and from the canonical dictionary.

Every convention of the format that is not the canonical one is folded into the arrays, in float64, so that values and
reconstructions stay what SAELens computes, up to rounding:

    apply_b_dec_to_input   (x - b_dec) W = x W - c with c = b_dec W; c leaves the encoder's bias. Gated dictionaries
                           have two: b_gate - c, and b_mag - c exp(r_mag), since the magnitude path scales W.
    rescale_acts_by_decoder_norm (topk)   p n ranked, f / n decoded: W_enc n, b_enc n, W_dec / n, n = |W_dec rows|.
    scaling_factor s (before 6.0)         (f s) W_dec decoded, f itself not scaled: rows of W_dec times s.

Arrays on disk: W_enc [D,F], b_enc [F] (not gated), W_dec [F,D], b_dec [D]; threshold [F] (jumprelu);
b_gate, b_mag, r_mag [F] (gated). Nothing else in a folder is read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from causeway.engine.dictionary.activations import Kind
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.intervention.sites import Site
from causeway.ports.config_fields import read_json
from causeway.ports.saelens_config import HOOKS, SaelensConfig, read_saelens_config, saelens_json
from causeway.ports.safetensors_files import TensorFile, open_file
from causeway.ports.tensor_checks import check_tensors, read_finite, to_stored

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
KINDS: dict[str, Kind] = {"standard": "relu", "gated": "gated", "jumprelu": "jumprelu", "topk": "topk"}
ARCHITECTURES = {kind: architecture for architecture, kind in KINDS.items()}
# Names of the gated arrays here and there.
GATED = {"log_scale": "r_mag", "gate_bias": "b_gate", "magnitude_bias": "b_mag"}

Arrays = dict[str, np.ndarray]


def read_folder_config(folder: Path) -> SaelensConfig:
    """What the dictionary of a folder is, without reading its weights.

    Raises:
        FileNotFoundError, ValueError: no cfg.json, or one that is not understood.
    """
    return read_saelens_config(read_json(folder / CONFIG), str(folder / CONFIG))


def read_folder(folder: Path, dtype: jnp.dtype) -> Dictionary:
    """The dictionary of one folder, unstacked, in canonical form.

    Args:
        folder: holds cfg.json and sae_weights.safetensors.
        dtype: of the arrays in memory.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or a tensor missing, unused, wrong-shaped or not finite.
    """
    config = read_folder_config(folder)
    if not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(f"{folder / WEIGHTS}: no such file; download it beside {CONFIG}")
    tensors = open_file(folder / WEIGHTS)
    scale = _take_scale(config, tensors)
    check_tensors(tensors, _shapes(config), f"a {config.architecture} dictionary")
    arrays = _fold({name: read_finite(tensor, tensor.dtype) for name, tensor in tensors.items()}, config, scale)
    named = {canonical: arrays.pop(name) for canonical, name in GATED.items() if name in arrays} | arrays
    named.setdefault("b_enc", np.zeros(config.d_sae))
    kind = KINDS[config.architecture]
    canonical = DictionaryConfig(kind=kind, layers=(config.site.layer,), stream=config.site.stream, k=config.k)
    return Dictionary(canonical, **{name: jnp.asarray(array.astype(dtype)) for name, array in named.items()})


def write_folder(folder: Path, dictionary: Dictionary, layer: int, metadata: Mapping[str, Any], storage: str) -> None:
    """Write one unstacked dictionary as a SAELens 6 folder.

    Args:
        folder: made if absent.
        dictionary: arrays without a stacking axis.
        layer: the model layer it belongs to.
        metadata: further entries of cfg.json's `metadata` (model_name, figures of its training, ...).
        storage: dtype of the two matrices on disk; vectors are float32, which costs next to nothing and keeps
            thresholds and biases as trained.

    Raises:
        ValueError: unknown storage, values not finite in it, or a stream without a SAELens name.
    """
    config = dictionary.config
    if config.stream not in HOOKS:
        raise ValueError(f"dictionary: stream {config.stream!r} has no SAELens name; named are {', '.join(HOOKS)}")
    arrays = _published_arrays(dictionary)
    tensors = {n: to_stored(a, n, storage if a.ndim == 2 else "float32") for n, a in arrays.items()}
    d_in, d_sae = arrays["W_enc"].shape
    site = Site(layer, config.stream)
    content = saelens_json(site, ARCHITECTURES[config.kind], d_in, d_sae, config.k, metadata)
    folder.mkdir(parents=True, exist_ok=True)
    # cfg.json last: a folder without it is not a dictionary, so a killed process leaves none half written.
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _shapes(config: SaelensConfig) -> dict[str, tuple[int, ...]]:
    d, f = config.d_in, config.d_sae
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d, f), "W_dec": (f, d), "b_dec": (d,)}
    vectors = {"gated": ("b_gate", "b_mag", "r_mag"), "jumprelu": ("b_enc", "threshold")}
    return shapes | dict.fromkeys(vectors.get(config.architecture, ("b_enc",)), (f,))


def _take_scale(config: SaelensConfig, tensors: dict[str, TensorFile]) -> np.ndarray | None:
    """`scaling_factor` of files before 6.0, taken out of the tensors; None where it changes nothing."""
    tensor = tensors.pop("scaling_factor", None)
    if tensor is None:
        return None
    scale = read_finite(tensor, np.dtype(np.float64))
    if (scale == 1).all():
        return None
    if not config.finetuned_scale:
        raise ValueError(
            f"{tensor.file}: scaling_factor is not all ones, but {config.where} does not set "
            "finetuning_scaling_factor; set it to true if the factors belong to this dictionary"
        )
    if scale.shape != (config.d_sae,):
        raise ValueError(f"{tensor.file}: tensor scaling_factor has shape {scale.shape}; needs ({config.d_sae},)")
    return scale


def _fold(arrays: Arrays, config: SaelensConfig, scale: np.ndarray | None) -> Arrays:
    """The canonical arrays; those that no fold touches pass unchanged, to the bit."""
    if "threshold" in arrays:
        # relu(p) (p > threshold): a negative threshold cuts at 0.
        arrays = arrays | {"threshold": np.maximum(arrays["threshold"], 0)}
    if config.subtracts_bias and arrays["b_dec"].any():
        arrays = arrays | _fold_input_bias(arrays)
    if config.rescales:
        norm = np.linalg.norm(arrays["W_dec"].astype(np.float64), axis=1)
        # A zero row never fires (its rescaled pre-activation is 0) and stays a zero row.
        rows = arrays["W_dec"].astype(np.float64) / np.where(norm > 0, norm, 1)[:, None]
        encoder = {name: arrays[name].astype(np.float64) * norm for name in ("W_enc", "b_enc")}
        arrays = arrays | {"W_dec": rows} | encoder
    if scale is not None:
        arrays = arrays | {"W_dec": arrays["W_dec"].astype(np.float64) * scale[:, None]}
    return arrays


def _fold_input_bias(arrays: Arrays) -> Arrays:
    shift = arrays["b_dec"].astype(np.float64) @ arrays["W_enc"].astype(np.float64)
    if "b_enc" in arrays:
        return {"b_enc": arrays["b_enc"].astype(np.float64) - shift}
    grown = np.exp(arrays["r_mag"].astype(np.float64))
    return {
        "b_gate": arrays["b_gate"].astype(np.float64) - shift,
        "b_mag": arrays["b_mag"].astype(np.float64) - shift * grown,
    }


def _published_arrays(dictionary: Dictionary) -> Arrays:
    """The arrays under SAELens names; a gated dictionary's b_enc goes where that format has room for it."""
    names = {"W_enc": "W_enc", "b_enc": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec", "threshold": "threshold", **GATED}
    present = {ours: theirs for ours, theirs in names.items() if hasattr(dictionary, ours)}
    arrays = {theirs: np.asarray(getattr(dictionary, ours)[...]) for ours, theirs in present.items()}
    if dictionary.config.kind == "gated":
        bias = arrays.pop("b_enc").astype(np.float64)
        if bias.any():
            grown = np.exp(arrays["r_mag"].astype(np.float64))
            arrays |= {"b_gate": arrays["b_gate"] + bias, "b_mag": arrays["b_mag"] + bias * grown}
    return arrays
