"""circuit-tracer's transcoders: config.yaml, and one safetensors file a layer (or two, when they cross layers).

Per layer (`transcoder_set`), in layer_{i}.safetensors, rows being features:

    p = x W_enc^T + b_enc          f = relu(p), p where p > threshold (strict), or the k largest p, negative ones too
    y = f W_dec + b_dec (+ x W_skip^T)

    W_enc [F,D], b_enc [F], W_dec [F,O], b_dec [O]; W_skip [O,D]; activation_function.threshold [F] or one number; k

Across layers (`cross_layer_transcoder`), in W_enc_{l}.safetensors and W_dec_{l}.safetensors, every name with _{l}:

    y_m = b_dec_m + sum_{l <= m} f_l W_dec_l[:, m - l] (+ x_m W_skip_m, not transposed)

    W_enc [F,D], b_enc [F], b_dec [O]; threshold [F]; W_skip [D,O]; W_dec [F,L-l,O]

The threshold's presence decides between JumpReLU and ReLU. TopK is named in config.yaml; a file that carries a `k` is
TopK as well, though circuit-tracer itself does not read it back. A list of transcoders may name Gemma Scope files.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from causeway.engine import scalars
from causeway.engine.dictionary.activations import Kind
from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.circuit_tracer_config import CONFIG, CROSS_LAYER, CircuitTracerConfig, read_config
from causeway.ports.dictionaries.feature_arrays import in_memory, stored
from causeway.ports.dictionaries.gemma_scope import gemma_arrays
from causeway.ports.dictionaries.sites import one_per_layer
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.npz_files import open_npz
from causeway.ports.files.safetensors_files import TensorFile, open_file
from causeway.ports.files.tensor_checks import check_tensors, one_number, read_finite
from causeway.ports.files.yaml_files import read_yaml
from causeway.ports.models.site_names import ANY_MODEL, SiteNames

NAME = "circuit_tracer"
PATTERNS = (CONFIG, f"*/{CONFIG}")
THRESHOLD, K, GEMMA_SKIP = "activation_function.threshold", "k", "affine_skip_connection"


def find(root: Path) -> dict[int, Path]:
    """Layer -> the path that stands for it, at or below a directory.

    Layers that config.yaml lists are there even if their files are still on the hub; others once a file is there.

    Raises:
        ValueError: a layer is there twice, or a file is not understood.
    """
    configs = [read_config(place) for place in root.rglob(CONFIG) if "model_kind" in read_yaml(place)]
    return one_per_layer(((n, config.layer_place(n)) for config in configs for n in config.layers_there()), root)


def layer_place(config: Path, layer: int) -> Path:
    """The path that stands for a layer, whether its weights are on this machine or not.

    Args:
        config: the config.yaml.
        layer: the model's layer.
    """
    return read_config(config).layer_place(layer)


def weights(place: Path) -> list[str]:
    """The files of a layer that have to lie beside config.yaml; none where it lists files that lie elsewhere."""
    config = read_config(place.parent / CONFIG)
    if config.model_kind == CROSS_LAYER:
        return [place.name, f"W_dec_{config.layer_of(place)}.safetensors"]
    return [] if config.transcoders else [place.name]


def open_source(place: Path, names: SiteNames = ANY_MODEL) -> DictionarySource:
    """One layer, from its configuration and headers.

    Args:
        place: what `find` gave for the layer.
        names: by which the model calls its places.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is damaged or not understood.
    """
    config = read_config(place.parent / CONFIG)
    layer = config.layer_of(place)
    if config.model_kind == CROSS_LAYER:
        files = [place, place.parent / weights(place)[1]]
    else:
        files = [config.weight_file(layer)]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; download it beside {CONFIG}")
    if config.model_kind == CROSS_LAYER:
        kind, k, arrays = _cross_layer(config, layer, {**open_file(files[0]), **open_file(files[1])})
    else:
        kind, k, arrays = _per_layer(config, files[0])
    sites = config.sites(layer, names)
    return DictionarySource(
        where=place,
        format=NAME,
        config=DictionaryConfig(kind=kind, layers=(layer,), stream=sites.stream, k=k, write_stream=sites.write_stream),
        arrays=arrays,
        files=(config.place, *files),
        model_name=config.model_name,
    )


def _per_layer(config: CircuitTracerConfig, file: Path) -> tuple[Kind, int, dict[str, FeatureArray]]:
    """Kind, k and arrays of a layer_N.safetensors, or of a Gemma Scope file in its place."""
    tensors = open_npz(file) if file.suffix == ".npz" else open_file(file)
    if file.suffix == ".npz" or "w_enc" in tensors:
        if config.activation not in (None, "jumprelu"):
            raise ValueError(
                f"{config.place}: activation is {config.activation}, but {file} is a JumpReLU of Gemma Scope"
            )
        return "jumprelu", 0, gemma_arrays(tensors, f"a transcoder of {config.place}", _present(tensors, GEMMA_SKIP))
    kept = _take_k(config, tensors)
    jumps = config.activation == "jumprelu" or (config.activation is None and kept == 0 and THRESHOLD in tensors)
    f, d = _matrix(tensors, "W_enc")
    _, width = _matrix(tensors, "W_dec")
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (f, d), "b_enc": (f,), "W_dec": (f, width), "b_dec": (width,)}
    one = THRESHOLD in tensors and tensors[THRESHOLD].shape in ((), (1,))
    shapes |= {THRESHOLD: tensors[THRESHOLD].shape if one else (f,)} if jumps else {}
    shapes |= {"W_skip": (width, d)} if "W_skip" in tensors else {}
    check_tensors(tensors, shapes, f"a transcoder of {config.place}")
    if kept > f:
        raise ValueError(f"{config.place}: k is {kept}, more than the {f} features of {file.name}")
    arrays = {
        "W_enc": stored(tensors["W_enc"], 0, transpose=True),
        "b_enc": stored(tensors["b_enc"], 0),
        "W_dec": stored(tensors["W_dec"], 0),
        "b_dec": stored(tensors["b_dec"]),
    } | ({"W_skip": stored(tensors["W_skip"], transpose=True)} if "W_skip" in tensors else {})
    if jumps:
        arrays["threshold"] = _repeated(tensors[THRESHOLD], f) if one else stored(tensors[THRESHOLD], 0)
    return "topk_signed" if kept else "jumprelu" if jumps else "relu", kept, arrays


def _take_k(config: CircuitTracerConfig, tensors: dict[str, TensorFile]) -> int:
    """How many features are kept, 0 for all: what config.yaml says or the file carries."""
    tensor = tensors.pop(K, None)
    if tensor is None and config.activation == "topk" and config.k is None:
        raise ValueError(f"{config.place}: activation is topk, but neither it nor the weights say k")
    if tensor is None:
        return config.k or 0
    carried = scalars.integer(one_number(tensor), f"{tensor.file}: tensor k", 1)
    if config.activation not in (None, "topk"):
        raise ValueError(f"{tensor.file}: tensor k is {carried}, but {config.place} says {config.activation}, not topk")
    if config.k not in (None, carried):
        raise ValueError(f"{tensor.file}: tensor k is {carried}, but {config.place} says {config.k}")
    return carried


def _cross_layer(
    config: CircuitTracerConfig, layer: int, tensors: Mapping[str, TensorFile]
) -> tuple[Kind, int, dict[str, FeatureArray]]:
    """Kind, k and arrays of a W_enc_N.safetensors and a W_dec_N.safetensors."""
    f, d = _matrix(tensors, f"W_enc_{layer}")
    decoder = tensors.get(f"W_dec_{layer}")
    tail = decoder.shape[1:] if decoder is not None and len(decoder.shape) == 3 else (1, d)
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (f, d), "b_enc": (f,), "W_dec": (f, *tail), "b_dec": tail[-1:]}
    jumps = f"threshold_{layer}" in tensors if config.activation is None else config.activation == "jumprelu"
    shapes |= {"threshold": (f,)} if jumps else {}
    shapes |= {"W_skip": (d, tail[-1])} if f"W_skip_{layer}" in tensors else {}
    names = {name: f"{name}_{layer}" for name in shapes}
    check_tensors(tensors, {names[name]: shape for name, shape in shapes.items()}, f"layer {layer} of {config.place}")
    axes = {"b_dec": None, "W_skip": None}
    arrays = {n: stored(tensors[names[n]], axes.get(n, 0), transpose=n == "W_enc") for n in shapes}
    return "jumprelu" if jumps else "relu", 0, arrays


def _matrix(tensors: Mapping[str, TensorFile], name: str) -> tuple[int, int]:
    """Shape of a matrix, zeros where it is no matrix: the check that follows says so."""
    shape = tensors[name].shape if name in tensors else ()
    return (shape[0], shape[1]) if len(shape) == 2 else (0, 0)


def _present(tensors: Mapping[str, TensorFile], name: str) -> str:
    return name if name in tensors else ""


def _repeated(tensor: TensorFile, count: int) -> FeatureArray:
    """One number for all features."""
    return in_memory(np.full(count, read_finite(tensor, tensor.dtype).item(), tensor.dtype))
