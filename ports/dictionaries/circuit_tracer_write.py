"""Transcoders written as circuit-tracer reads them: config.yaml and one file a layer (two, when they cross layers).

Layouts are those of `circuit_tracer`. circuit-tracer wants every layer of its model from 0 on; fewer can be written,
and it will say so. It has ReLU, JumpReLU and a TopK that keeps negative values; a canonical `topk` cuts them, so it has
no faithful form there and is refused, and so are gates and norms of the input.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.sites import EDITABLE
from causeway.engine.whole_folder import replacing_folder
from causeway.ports.dictionaries.circuit_tracer_config import CONFIG, CROSS_LAYER, LAYER_FILE, PER_LAYER
from causeway.ports.files.safetensors_files import write_tensors
from causeway.ports.files.tensor_checks import to_stored
from causeway.ports.models.site_names import HOOK_OF

# The last for transcoders of one layer alone.
KINDS = ("relu", "jumprelu", "topk_signed")
_SET = re.compile(rf"{re.escape(CONFIG)}|(layer|W_enc|W_dec)_\d+\.safetensors")
# Its hooks are TransformerLens's, and those that it puts around the MLP; streams of the model's width.
HOOKS = {stream: hook for stream, hook in HOOK_OF.items() if stream in EDITABLE and hook != "attn.hook_out"}


def save_circuit_tracer(
    directory: Path | str,
    dictionary: InMemory,
    model_name: str,
    *,
    storage: str = "float32",
    scan: str = "",
    overwrite: bool = False,
) -> list[Path]:
    """Write a stack of transcoders, or one that crosses layers; the set is whole or not there.

    Args:
        directory: made if absent.
        dictionary: a stack over layers 0, 1, ... (one unstacked dictionary for layer 0), or all layers that cross.
        model_name: the model's id, which circuit-tracer loads.
        storage: dtype on disk: float32, float16, bfloat16 or float64.
        scan: identifier of the features' dashboards.
        overwrite: replace a set that is already there.

    Returns:
        Every file written, config.yaml last.

    Raises:
        FileExistsError: a set is there already and `overwrite` is false.
        ValueError: the format cannot hold the dictionary, or values are not finite in the storage.
    """
    place = Path(directory) / CONFIG
    if place.exists() and not overwrite:
        raise FileExistsError(f"{place}: already there; name another directory or pass overwrite=True")
    crosses = dictionary.crosses
    _check(dictionary.config, KINDS[:2] if crosses else KINDS)
    names = []
    # Layers of a set that is there beyond the new one's would count as the new one's.
    with replacing_folder(place.parent, is_written) as partial:
        for layer in dictionary.config.layers:
            for name, tensors in _layer_files(dictionary, layer).items():
                names.append(name)
                # An int says how many features TopK keeps; everything else is weights.
                stored = {n: t if t.dtype.kind == "i" else to_stored(t, n, storage) for n, t in tensors.items()}
                write_tensors(partial / name, stored)
        content = _yaml(dictionary.config, CROSS_LAYER if crosses else PER_LAYER, model_name, scan)
        (partial / CONFIG).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return [place.parent / name for name in (*names, CONFIG)]


def is_written(entry: Path) -> bool:
    """Whether an entry of a folder is a file of such a set."""
    return _SET.fullmatch(entry.name) is not None


def _check(config: DictionaryConfig, kinds: tuple[str, ...]) -> None:
    if config.kind not in kinds or config.input_norm != "none":
        raise ValueError(
            f"dictionary: kind {config.kind!r} with input_norm {config.input_norm!r} has no circuit-tracer form; "
            f"written are {', '.join(kinds)} without a norm"
        )
    for stream in (config.stream, config.output_stream):
        if stream not in HOOKS:
            raise ValueError(f"dictionary: stream {stream!r} has no circuit-tracer hook; named are {', '.join(HOOKS)}")
    if config.layers != tuple(range(len(config.layers))):
        raise ValueError(f"dictionary: has layers {config.layers}; circuit-tracer's sets count from layer 0, in order")


def _yaml(config: DictionaryConfig, kind: str, model_name: str, scan: str) -> dict[str, str | int]:
    content: dict[str, str | int] = {
        "model_kind": kind,
        "model_name": model_name,
        "feature_input_hook": HOOKS[config.stream],
        "feature_output_hook": HOOKS[config.output_stream],
    }
    if config.kind == "topk_signed":
        content |= {"activation": "topk", "k": config.k}
    return content | ({"scan": scan} if scan else {})


def _layer_files(dictionary: InMemory, layer: int) -> Mapping[str, Mapping[str, np.ndarray]]:
    """File name -> tensors of one layer; a decoder that crosses layers lies by itself, to be read by itself."""
    arrays = {name: np.asarray(array) for name, array in dictionary.arrays_at(layer).items()}
    arrays["W_enc"] = arrays["W_enc"].T
    if dictionary.crosses:
        decoder = arrays.pop("W_dec")
        return {
            LAYER_FILE[CROSS_LAYER].format(layer): {f"{name}_{layer}": array for name, array in arrays.items()},
            f"W_dec_{layer}.safetensors": {f"W_dec_{layer}": decoder},
        }
    if "W_skip" in arrays:
        arrays["W_skip"] = arrays["W_skip"].T
    if "threshold" in arrays:
        arrays["activation_function.threshold"] = arrays.pop("threshold")
    if dictionary.config.kind == "topk_signed":
        arrays["k"] = np.array(dictionary.config.k, np.int64)
    return {LAYER_FILE[PER_LAYER].format(layer): arrays}
