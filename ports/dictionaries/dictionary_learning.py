"""Folders of the dictionary_learning library: `config.json` and `ae.pt`.

    class                    pre-activation p                 value                                 decoded with
    AutoEncoder              (x - bias) W^T + b               relu(p)                               bias
    AutoEncoderNew           x W^T + b                        relu(p)                               decoder.bias
    GatedAutoEncoder         (x - decoder_bias) W^T           relu(e^r p + mag_bias), p + gate > 0  decoder_bias
    AutoEncoderTopK          (x - b_dec) W^T + b              k largest of relu(p)                  b_dec
    BatchTopKSAE             (x - b_dec) W^T + b              relu(p) above one threshold           b_dec
    MatryoshkaBatchTopKSAE   (x - b_dec) W_enc + b_enc        relu(p) above one threshold           b_dec
    JumpReluAutoEncoder      x W_enc + b_enc                  relu(p) where p > threshold           b_dec

Linear layers are torch's (encoder.weight [F,D], decoder.weight [D,F]); W_enc [D,F] and W_dec [F,D] are not. What
training normalised is folded into the biases before saving, so nothing is scaled here. Values are those of the arrays
as stored: the library's own loader of AutoEncoder rescales features to decoder rows of norm 1 unless told not to. A
threshold below 0, which training writes as long as it has estimated none, cuts nothing that the ReLU leaves.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.engine.intervention.sites import EDITABLE
from causeway.ports.dictionaries.feature_arrays import in_memory, mapped, stored, without_input_bias
from causeway.ports.dictionaries.feature_folds import in_blocks
from causeway.ports.dictionaries.sites import Sites, one_per_layer, read_sites
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_checks import check_tensors, one_number, read_finite
from causeway.ports.files.torch_files import chosen_file, open_file
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

NAME = "dictionary_learning"
CONFIG, WEIGHTS = "config.json", "ae.pt"
PATTERNS = (CONFIG, f"*/{CONFIG}")
LINEAR, PLAIN = ("encoder.weight", "decoder.weight"), ("W_enc", "W_dec")
# class -> (kind, (encoder, decoder) names, encoder bias, what is added after decoding, whether that is subtracted)
CLASSES: dict[str, tuple[Any, tuple[str, str], str | None, str, bool]] = {
    "AutoEncoder": ("relu", LINEAR, "encoder.bias", "bias", True),
    "AutoEncoderNew": ("relu", LINEAR, "encoder.bias", "decoder.bias", False),
    "GatedAutoEncoder": ("gated", LINEAR, None, "decoder_bias", True),
    "AutoEncoderTopK": ("topk", LINEAR, "encoder.bias", "b_dec", True),
    "BatchTopKSAE": ("jumprelu", LINEAR, "encoder.bias", "b_dec", True),
    "MatryoshkaBatchTopKSAE": ("jumprelu", PLAIN, "b_enc", "b_dec", True),
    "JumpReluAutoEncoder": ("jumprelu", PLAIN, "b_enc", "b_dec", False),
}
GATED = {"log_scale": "r_mag", "gate_bias": "gate_bias", "magnitude_bias": "mag_bias"}
# Stored with the tensors and not read as such: k is checked, group sizes serve training alone.
BESIDE = ("k", "group_sizes")
# The library hooks modules, so what it calls after attention and MLP is before a norm that follows them.
STREAMS = {stream: stream for stream in EDITABLE} | {
    "resid": "resid_post", "mlp": "mlp_raw", "mlp_out": "mlp_raw", "attn": "attn_raw", "attn_out": "attn_raw",
}  # fmt: skip
SUBMODULE = re.compile(rf"({'|'.join(sorted(STREAMS, key=len, reverse=True))})(?:_?(?:layer)?_?(\d+))?")


def find(root: Path) -> dict[int, Path]:
    """Layer -> config.json of every dictionary at or below a folder.

    Raises:
        ValueError: a layer is there twice (usually several trainers of one run).
    """
    paths = [path for path in sorted(root.rglob(CONFIG)) if _is_ours(path)]
    return one_per_layer(((_trainer(path).take("layer", int), path) for path in paths), root)


def weights(place: Path) -> list[str]:
    """What lies beside the configuration."""
    return [chosen_file(place.parent / WEIGHTS).name]


def open_source(place: Path, names: SiteNames = ANY_MODEL) -> DictionarySource:
    """One dictionary, of a model that calls its places by these names.

    Raises:
        FileNotFoundError, ValueError: a file is missing, damaged or not of this format.
    """
    trainer = _trainer(place)
    name = trainer.take("dict_class", str)
    if name not in CLASSES:
        raise ValueError(f"{place}: dict_class {name!r} is not read; read are {', '.join(CLASSES)}")
    kind, matrices, bias, offset, subtracts = CLASSES[name]
    features, width = trainer.positive("dict_size"), trainer.positive("activation_dim")
    k = trainer.positive("k") if kind == "topk" else 0
    path = chosen_file(place.parent / WEIGHTS)
    tensors = open_file(path)
    beside = {n: tensors.pop(n) for n in BESIDE if n in tensors}
    if k and "k" in beside and k != (carried := one_number(beside["k"])):
        raise ValueError(f"{path}: tensor k is {carried:g}, but {place} has k = {k}; one is of another")
    if kind == "topk":
        tensors.pop("threshold", None)  # kept for the library's other way of using it
    check_tensors(tensors, _shapes(name, features, width), f"a {name}")
    arrays = _matrices(tensors, matrices)
    b_dec = stored(tensors[offset])
    own = stored(tensors[bias], 0) if bias else in_memory(np.zeros(features, np.float32))
    arrays["b_enc"] = in_blocks(without_input_bias(own, b_dec, arrays["W_enc"])) if subtracts else own
    arrays |= {"b_dec": b_dec} | _parameters(kind, tensors, features)
    site = _site(place, trainer, names)
    config = DictionaryConfig(kind, (site.layer,), site.stream, k)
    model = str(trainer.take("lm_name", str, ""))
    return DictionarySource(place, NAME, config, arrays, (place, path), model, card=_card(place, beside))


def _is_ours(path: Path) -> bool:
    trainer = read_json(path).get("trainer")
    return isinstance(trainer, Mapping) and "dict_class" in trainer


def _trainer(place: Path) -> Fields:
    """The open record of the trainer; most of it tells how it was trained."""
    return Fields(str(place), read_json(place)).inner("trainer")


def _shapes(name: str, features: int, width: int) -> dict[str, tuple[int, ...]]:
    kind, matrices, bias, offset, _ = CLASSES[name]
    wide, tall = (width, features), (features, width)
    encoder, decoder = (tall, wide) if matrices is LINEAR else (wide, tall)
    shapes: dict[str, tuple[int, ...]] = {matrices[0]: encoder, matrices[1]: decoder, offset: (width,)}
    vectors = [bias] if bias else list(GATED.values())
    shapes |= dict.fromkeys(vectors, (features,))
    if kind == "jumprelu":
        shapes["threshold"] = (features,) if name == "JumpReluAutoEncoder" else ()
    return shapes


def _matrices(tensors: Mapping[str, TensorFile], names: tuple[str, str]) -> dict[str, FeatureArray]:
    encoder, decoder = (tensors[name] for name in names)
    if names is LINEAR:
        return {"W_enc": stored(encoder, 0, transpose=True), "W_dec": stored(decoder, 1, transpose=True)}
    return {"W_enc": stored(encoder, 1), "W_dec": stored(decoder, 0)}


def _parameters(kind: str, tensors: Mapping[str, TensorFile], features: int) -> dict[str, FeatureArray]:
    """What the activation reads beside the pre-activation."""
    if kind == "gated":
        return {ours: stored(tensors[theirs], 0) for ours, theirs in GATED.items()}
    if kind != "jumprelu":
        return {}
    threshold = tensors["threshold"]
    if threshold.shape:
        array = stored(threshold, 0)
    else:
        array = in_memory(np.full(features, read_finite(threshold, threshold.dtype)))
    # The library applies the ReLU too.
    return {"threshold": mapped(array, lambda values: np.maximum(values, 0))}


def _site(place: Path, trainer: Fields, names: SiteNames) -> Sites:
    """Where it reads and writes; without a submodule it is the residual stream after the layer."""
    layer, name = trainer.take("layer", int), trainer.take("submodule_name", str, "resid_post")
    if (direction := _buffer(place).get("io", "out")) != "out":
        raise ValueError(f"{place}: io {direction!r} is not read; read are dictionaries of what a submodule gives out")
    match = SUBMODULE.fullmatch(name)
    spelled = f"{STREAMS[match[1]]}.{match[2] or layer}" if match else name
    try:
        site = read_sites(f"{place}: submodule_name", spelled, spelled, names)
    except ValueError as error:
        raise ValueError(f"{error}; read are {', '.join(STREAMS)} (with _layer_N) and Hugging Face modules") from None
    if site.layer != layer:
        raise ValueError(f"{place}: submodule_name {name!r} is of layer {site.layer}, but layer is {layer}")
    return site


def _buffer(place: Path) -> dict[str, Any]:
    """How its activations were recorded, empty where the file does not say."""
    return Fields(str(place), read_json(place)).take("buffer", dict, {})


def _card(place: Path, beside: Mapping[str, TensorFile]) -> dict[str, Any]:
    kept = int(one_number(beside["k"])) if "k" in beside else None
    card = {"context_size": _buffer(place).get("ctx_len"), "l0": kept}
    return {name: value for name, value in card.items() if value is not None}
