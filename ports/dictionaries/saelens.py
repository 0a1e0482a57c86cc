"""SAELens folders (cfg.json and sae_weights.safetensors) in canonical form.

Every convention of the format that is not the canonical one is folded into the arrays, in float64 on the range of
features read, so that values and reconstructions stay what SAELens computes, up to rounding:

    apply_b_dec_to_input   (x - b_dec) W = x W - c with c = b_dec W; c leaves the encoder's bias. Gated dictionaries
                           have two: b_gate - c, and b_mag - c exp(r_mag), since the magnitude path scales W.
    expected_average_only_in   s x is encoded: W_enc s, W_dec / s, b_dec / s. The factor s is not in cfg.json: it is an
                           option here, or stands in activation_scaler.json beside a training checkpoint.
    covariance_whitening   z = (x - m) M is encoded: M W_enc, W_dec M^-1, b_dec M^-1 + m; m, M and M^-1 are in
                           activation_whitening.safetensors.
    rescale_acts_by_decoder_norm   p n ranked, f / n decoded: W_enc n, b_enc n, W_dec / n, n = |W_dec rows|.
    scaling_factor t (before 6.0)  (f t) W_dec decoded, f itself not scaled: rows of W_dec times t.
    threshold              relu(p) (p > threshold): max(threshold, 0).

layer_norm and constant_norm_rescale depend on each input; they are the canonical input norms. A matching pursuit under
expected_average_only_in has raw values instead, its b_dec and residual_threshold divided by s.

Arrays on disk: W_enc [D,F], b_enc [F] (not gated), W_dec [F,O], b_dec [O]; threshold [F] (jumprelu; log_threshold in
old checkpoints); b_gate, b_mag, r_mag [F] (gated); W_skip [O,D] (skip); matching_pursuit has W_dec and b_dec alone.
Nothing else in a folder is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine.dictionary.activations import Kind
from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.engine.dictionary.input_norm import InputNorm
from causeway.ports.dictionaries.feature_arrays import in_memory, mapped, of_centred_input, stored
from causeway.ports.dictionaries.feature_folds import row_norms, scaled, times_norm
from causeway.ports.dictionaries.saelens_config import SaelensConfig, read_saelens_config, saelens_layer
from causeway.ports.dictionaries.saelens_folds import Scaling, read_scaling, shifted, whitened
from causeway.ports.dictionaries.saelens_versions import corrected
from causeway.ports.dictionaries.sites import one_per_layer
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.config_fields import read_json
from causeway.ports.files.safetensors_files import TensorFile, open_file
from causeway.ports.files.tensor_checks import check_tensors, read_finite
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

NAME = "saelens"
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
PATTERNS = (CONFIG, f"*/{CONFIG}")
KINDS: dict[str, Kind] = {
    "standard": "relu", "gated": "gated", "jumprelu": "jumprelu", "topk": "topk", "abstopk": "abstopk",
    "matching_pursuit": "matching_pursuit", "transcoder": "relu", "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu", "jumprelu_skip_transcoder": "jumprelu",
}  # fmt: skip
# Names of the gated arrays here and there.
GATED = {"log_scale": "r_mag", "gate_bias": "b_gate", "magnitude_bias": "b_mag"}
INPUT_NORMS: dict[str, InputNorm] = {"layer_norm": "layer_norm", "constant_norm_rescale": "token_norm"}
LOG_THRESHOLD = "log_threshold"

Arrays = dict[str, FeatureArray]


def find(root: Path) -> dict[int, Path]:
    """Layer -> cfg.json of every dictionary at or below a folder.

    Raises:
        ValueError: a layer is there twice, or a file says no layer.
    """
    contents = {path: read_json(path) for path in sorted(root.rglob(CONFIG))}
    # sparsify calls its configuration cfg.json too; it has none of these.
    ours = {p: v for p, v in contents.items() if not {"d_sae", "metadata", "hook_name", "hook_point"}.isdisjoint(v)}
    return one_per_layer(((saelens_layer(values, str(path)), path) for path, values in ours.items()), root)


def weights(place: Path) -> list[str]:
    """What has to lie beside the configuration."""
    norm = read_json(place).get("normalize_activations")
    return [WEIGHTS, *(["activation_whitening.safetensors"] if norm == "covariance_whitening" else [])]


def open_source(
    place: Path,
    names: SiteNames = ANY_MODEL,
    norm_scaling_factor: float | Mapping[int, float] | None = None,
    config_overrides: Mapping[str, Any] | None = None,
) -> DictionarySource:
    """One dictionary.

    Args:
        place: its cfg.json.
        names: by which the model calls its places.
        norm_scaling_factor: s of an `expected_average_only_in` dictionary, refused for others; or s by layer, read
            where it is needed (SAELens's registry lists it for dictionaries of both kinds).
        config_overrides: entries that replace those of cfg.json, as SAELens's registry corrects some published files.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, a tensor is missing, unused or wrong-shaped, or a fold lacks what it needs.
    """
    config = read_saelens_config(corrected(read_json(place), config_overrides or {}), str(place), names)
    if isinstance(norm_scaling_factor, Mapping):
        needed = config.norm == "expected_average_only_in"
        norm_scaling_factor = norm_scaling_factor.get(config.site.layer) if needed else None
    path = place.parent / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; download it beside {CONFIG}")
    tensors = open_file(path)
    finetuned = _take_finetuned_scale(config, tensors)
    _refuse_training_state(tensors)
    check_tensors(tensors, _shapes(config, tensors), f"a {config.architecture} dictionary")
    scaling = read_scaling(config, place.parent, norm_scaling_factor)
    pursues = config.architecture == "matching_pursuit"
    arrays = _pursuit_arrays(config, tensors, scaling) if pursues else _arrays(config, tensors, scaling, finetuned)
    if config.centred:
        # Last: biases are folded with the encoder that the vector was subtracted for, which no mean was taken out of.
        arrays["W_enc"] = of_centred_input(arrays["W_enc"])
    return DictionarySource(
        where=place,
        format=NAME,
        config=DictionaryConfig(
            kind=KINDS[config.architecture],
            layers=(config.site.layer,),
            stream=config.site.stream,
            k=config.k,
            write_stream=config.site.write_stream,
            input_norm=INPUT_NORMS.get(config.norm, "none"),
            residual_threshold=config.residual_threshold / scaling.factor,
            stop_on_duplicate=config.stop_on_duplicate,
        ),
        arrays=arrays,
        files=(place, path, *scaling.files),
        model_name=config.model_name,
        value_scale=_value_scale(config, scaling),
        centred=config.centred,
        card=config.card,
    )


def _arrays(
    config: SaelensConfig, tensors: Mapping[str, TensorFile], scaling: Scaling, finetuned: FeatureArray | None
) -> Arrays:
    """The canonical arrays; those that no fold touches pass unchanged, to the bit."""
    s = scaling.factor
    decoder = stored(tensors["W_dec"], 0)
    norms = scaled(row_norms(decoder), 1 / s) if config.rescales else None
    encoder, decoder, b_dec = whitened(stored(tensors["W_enc"], 1), decoder, stored(tensors["b_dec"]), scaling)
    encoder, decoder, b_dec = scaled(encoder, s), scaled(decoder, 1 / s), scaled(b_dec, 1 / s)
    centre = b_dec if config.subtracts_bias else scaling.centre
    arrays = {"b_dec": b_dec, **_vectors(config, tensors, centre, encoder)}
    if norms is not None:
        encoder, decoder = times_norm(encoder, norms, 1), times_norm(decoder, norms, -1)
        arrays["b_enc"] = times_norm(arrays["b_enc"], norms, 1)
    if finetuned is not None:
        decoder = times_norm(decoder, finetuned, 1)
    if "W_skip" in tensors:
        arrays["W_skip"] = stored(tensors["W_skip"], transpose=True)
    return {"W_enc": encoder, "W_dec": decoder, **arrays}


def _vectors(
    config: SaelensConfig, tensors: Mapping[str, TensorFile], centre: FeatureArray | None, encoder: FeatureArray
) -> Arrays:
    """Biases, without what the encoder makes of a vector subtracted from its input, and thresholds."""
    if config.architecture == "gated":
        gate, size, grown = (stored(tensors[name], 0) for name in ("b_gate", "b_mag", "r_mag"))
        return {
            "b_enc": in_memory(np.zeros(config.d_sae, np.float32)),
            "gate_bias": shifted(gate, centre, encoder),
            "magnitude_bias": shifted(size, centre, encoder, mapped(grown, np.exp)),
            "log_scale": grown,
        }
    arrays = {"b_enc": shifted(stored(tensors["b_enc"], 0), centre, encoder)}
    if KINDS[config.architecture] != "jumprelu":
        return arrays
    if LOG_THRESHOLD in tensors:
        return arrays | {"threshold": mapped(stored(tensors[LOG_THRESHOLD], 0), np.exp)}
    return arrays | {"threshold": mapped(stored(tensors["threshold"], 0), lambda t: np.maximum(t, 0))}


def _pursuit_arrays(config: SaelensConfig, tensors: Mapping[str, TensorFile], scaling: Scaling) -> Arrays:
    """Encoder and decoder are one matrix; a b_dec that is not subtracted is not added either."""
    b_dec = scaled(stored(tensors["b_dec"]), 1 / scaling.factor)
    return {
        "W_enc": stored(tensors["W_dec"], 0, transpose=True),
        "b_enc": in_memory(np.zeros(config.d_sae, np.float32)),
        "W_dec": stored(tensors["W_dec"], 0),
        "b_dec": b_dec if config.subtracts_bias else in_memory(np.zeros(config.d_in, np.float32), None),
    }


def _shapes(config: SaelensConfig, tensors: Mapping[str, TensorFile]) -> dict[str, tuple[int, ...]]:
    d, f, o = config.d_in, config.d_sae, config.d_out
    shapes: dict[str, tuple[int, ...]] = {"W_dec": (f, o), "b_dec": (o,)}
    if config.architecture == "matching_pursuit":
        return shapes
    shapes["W_enc"] = (d, f)
    if config.architecture == "gated":
        return shapes | dict.fromkeys(GATED.values(), (f,))
    shapes["b_enc"] = (f,)
    if KINDS[config.architecture] == "jumprelu":
        shapes[LOG_THRESHOLD if LOG_THRESHOLD in tensors else "threshold"] = (f,)
    return shapes | ({"W_skip": (o, d)} if "skip" in config.architecture else {})


def _refuse_training_state(tensors: Mapping[str, TensorFile]) -> None:
    if tensor := tensors.get("topk_threshold"):
        raise ValueError(
            f"{tensor.file}: tensor topk_threshold belongs to a batchtopk training checkpoint; export it with SAELens "
            "(sae.save_inference_model), which makes it a jumprelu, and read that"
        )


def _take_finetuned_scale(config: SaelensConfig, tensors: dict[str, TensorFile]) -> FeatureArray | None:
    """`scaling_factor` of files before 6.0, taken out of the tensors; None where it changes nothing."""
    tensor = tensors.pop("scaling_factor", None)
    if tensor is None:
        return None
    if tensor.shape != (config.d_sae,):
        raise ValueError(f"{tensor.file}: tensor scaling_factor has shape {tensor.shape}; needs ({config.d_sae},)")
    if (read_finite(tensor, np.dtype(np.float64)) == 1).all():
        return None
    if not config.finetuned_scale:
        raise ValueError(
            f"{tensor.file}: scaling_factor is not all ones, but {config.where} does not set "
            "finetuning_scaling_factor; set it to true if the factors belong to this dictionary"
        )
    return stored(tensor, 0)


def _value_scale(config: SaelensConfig, scaling: Scaling) -> str:
    parts = ["the input is the stream less its mean"] if config.centred else []
    if config.norm in INPUT_NORMS:
        parts.append(f"the input is normalised token by token first ({config.norm})")
    if scaling.whitens:
        parts.append("the input is whitened first")
    if scaling.factor != 1 and config.architecture != "matching_pursuit":
        parts.append(f"the input is scaled by {scaling.factor:g} first")
    if config.rescales:
        parts.append("values are times the norms of their decoder rows")
    return "as trained: " + ", ".join(parts) if parts else "raw"
