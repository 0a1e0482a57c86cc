"""Gemma Scope 2 (Gemma 3): config.json and params.safetensors, one folder a dictionary.

    f = p where p > threshold, p = x w_enc + b_enc        y = f w_dec + b_dec (+ x affine_skip_connection)

Tensors w_enc [D,F], b_enc [F], w_dec [F,O], b_dec [O], threshold [F], affine_skip_connection [D,O]: the canonical form
as it stands. config.json names the module whose input or output is read, and the one whose output is written.

A cross-layer transcoder (`clt/...`) has one config.json and a file params_layer_{l}.safetensors for each layer l, with
w_dec [F,L,O] indexed by the layer written to, of which the layers from l on are its own. Crosscoders, which lie in the
same kind of folder, read several layers at once and are refused.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine.dictionary.dictionary import DictionaryConfig
from causeway.ports.dictionaries.gemma_scope import gemma_arrays
from causeway.ports.dictionaries.sites import one_per_layer, read_sites
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.safetensors_files import open_file
from causeway.ports.models import gemma2
from causeway.ports.models.site_names import SiteNames

NAME = "gemma_scope_2"
CONFIG, PARAMS = "config.json", "params.safetensors"
LAYER_PARAMS = re.compile(r"params_layer_(\d+)\.safetensors")
PATTERNS = (CONFIG, f"*/{CONFIG}")
SKIP = "affine_skip_connection"
HOOK = re.compile(r"model\.(?:language_model\.)?layers\.([^.]+)\.(.+)")
# A block of Gemma 3 has the modules of Gemma 2's.
NAMES = SiteNames({"gemma2": gemma2.MODULES})
TYPES = ("sae", "transcoder", "clt")


@dataclasses.dataclass(frozen=True)
class _Config:
    """What a config.json says: kind, names of the hooks (one, or one a layer), F (over all layers for clt), ..."""

    where: str
    kind: str
    hook_in: str | list[str]
    hook_out: str | list[str]
    width: int
    affine: bool
    model_name: str
    card: Mapping[str, Any]


def find(root: Path) -> dict[int, Path]:
    """Layer -> config.json (clt: params_layer_N.safetensors) at or below a directory.

    Raises:
        ValueError: a layer is there twice, or a file is not understood.
    """
    found = []
    for place in root.rglob(CONFIG):
        if "hf_hook_point_in" not in read_json(place):
            continue
        config = _read(place)
        if config.kind == "clt":
            names = [(path, LAYER_PARAMS.fullmatch(path.name)) for path in place.parent.iterdir()]
            found += [(int(match[1]), path) for path, match in names if match]
        else:
            found.append((_site(config, config.hook_in, None)[0], place))
    return one_per_layer(found, root)


def layer_place(config: Path, layer: int) -> Path:
    """The place of one layer of a cross-layer transcoder, whose weights may not be on this machine yet."""
    return config.parent / f"params_layer_{layer}.safetensors"


def weights(place: Path) -> list[str]:
    """The weight file of a place."""
    return [PARAMS if place.name == CONFIG else place.name]


def open_source(place: Path) -> DictionarySource:
    """One dictionary, or one layer of a cross-layer transcoder, from its configuration and headers.

    Args:
        place: its config.json, or a layer's params_layer_N.safetensors.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is damaged or not understood.
    """
    config, match = _read(place.parent / CONFIG), LAYER_PARAMS.fullmatch(place.name)
    layer = int(match[1]) if match else None
    if (layer is not None) != (config.kind == "clt"):
        raise ValueError(f"{place}: {config.where} says type {config.kind!r}, whose weights have other names")
    file = place.parent / weights(place)[0]
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; download it beside {CONFIG}")
    tensors = open_file(file)
    arrays = gemma_arrays(tensors, f"a Gemma Scope 2 {config.kind}", SKIP if config.affine else "")
    arrays |= {"W_dec": _own_layers(arrays["W_dec"], layer, file)}
    if layer is None and arrays["b_enc"].shape != (config.width,):
        raise ValueError(f"{file}: has {arrays['b_enc'].shape[0]} features; {config.where} says {config.width}")
    (layer_in, stream), (layer_out, written) = (_site(config, h, layer) for h in (config.hook_in, config.hook_out))
    if layer_in != layer_out:
        raise ValueError(f"{config.where}: reads layer {layer_in} and writes layer {layer_out}; not read")
    return DictionarySource(
        where=place,
        format=NAME,
        config=DictionaryConfig(
            kind="jumprelu", layers=(layer_in,), stream=stream, write_stream="" if stream == written else written
        ),
        arrays=arrays,
        files=(place.parent / CONFIG, file),
        model_name=config.model_name,
        card=config.card,
    )


def _read(place: Path) -> _Config:
    """A config.json, every field used."""
    where, fields = str(place), Fields(str(place), read_json(place))
    kind, architecture = fields.take("type", str), fields.take("architecture", str)
    if kind not in TYPES or architecture != "jump_relu":
        raise ValueError(
            f"{where}: type {kind!r} of architecture {architecture!r} is not read; "
            f"read are {', '.join(TYPES)} of jump_relu"
        )
    hook_in = fields.take("hf_hook_point_in", (str, list))
    config = _Config(
        where=where,
        kind=kind,
        hook_in=hook_in,
        hook_out=fields.take("hf_hook_point_out", (str, list), hook_in),
        width=fields.positive("width"),
        affine=fields.take("affine_connection", bool, False),
        model_name=_model_name(fields.take("model_name", str, "")),
        card={"l0": fields.take("l0", (int, float), None)},
    )
    fields.done()
    return config


def _model_name(name: str) -> str:
    """The model's id on the hub; some files call it gemma-v3-1b-pt."""
    name = name.replace("gemma-v3", "gemma-3")
    return name if "/" in name or not name else f"google/{name}"


def _site(config: _Config, hook: str | list[str], layer: int | None) -> tuple[int, str]:
    """Layer and stream of a hook; where files are a layer each, the layer is theirs."""
    name = hook if isinstance(hook, str) else str(hook[layer]) if layer is not None and layer < len(hook) else str(hook)
    match = HOOK.fullmatch(name)
    if match is None or (layer is None and not match[1].isdecimal()):
        raise ValueError(
            f"{config.where}: cannot read the hook {name!r}; needs model.layers.N.MODULE.input or .output, or "
            "model.layers.N.output"
        )
    own = int(match[1]) if layer is None else layer
    spelled = f"layers.{own}.{match[2]}"
    sites = read_sites(f"{config.where}: hook {name!r}", spelled, spelled, NAMES)
    return sites.layer, sites.stream


def _own_layers(decoder: FeatureArray, layer: int | None, file: Path) -> FeatureArray:
    """Of a decoder into all layers, those from its own on."""
    if layer is None:
        if len(decoder.shape) != 2:
            raise ValueError(f"{file}: tensor w_dec has shape {decoder.shape}; a dictionary of one layer has 2 axes")
        return decoder
    if len(decoder.shape) != 3 or layer >= decoder.shape[1]:
        raise ValueError(
            f"{file}: tensor w_dec has shape {decoder.shape}; layer {layer} needs (features, layers, width)"
        )
    features, layers, width = decoder.shape

    def read(start: int, stop: int) -> np.ndarray:
        return decoder.read(start, stop)[:, layer:]

    return dataclasses.replace(decoder, shape=(features, layers - layer, width), read=read)
