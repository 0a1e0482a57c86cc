"""`load_dictionaries` and `save_dictionary`: dictionaries of several layers, in and out.

Any published format that ports read (`dictionary_formats`) becomes the one canonical form. The folders may have any
names and lie at any depth; which layer a dictionary belongs to is read from its own files. Weights are opened only
for the layers asked for, and fetched only for them when the reference is on the hub.
"""

import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from causeway.engine.dictionary.dictionary import Dictionary, take
from causeway.engine.dictionary.placement import Placement, Replicated
from causeway.engine.model.config import PRECISIONS, ModelConfig, Precision
from causeway.engine.model.handle import Model
from causeway.engine.whole_folder import replacing_folder
from causeway.ports import sae_registry
from causeway.ports.checkpoints import is_checkpoint
from causeway.ports.dictionary_checkpoints import open_checkpoint, restore_dictionaries
from causeway.ports.dictionary_formats import fetch_places, open_places
from causeway.ports.dictionary_source import DictionarySource
from causeway.ports.llama_scope import hub_reference
from causeway.ports.placed_dictionaries import place_dictionaries
from causeway.ports.saelens import CONFIG
from causeway.ports.saelens_write import HOOKS, write_folder


def load_dictionaries(
    reference: str | Path,
    layers: Iterable[int] | None = None,
    *,
    for_model: Model | None = None,
    storage: Precision = "float32",
    placement: Placement = Replicated(),  # noqa: B008 (immutable)
    **options: Any,
) -> Any:
    """Dictionaries of several layers, lowest layer first.

    Args:
        reference: directory of one or many dictionaries, `bundled:NAME`, a hub id in any of its spellings
            (`ports.hub`), or `release/sae_id` of SAELens's registry where that package is installed.
        layers: model layers wanted; None takes all that are there.
        for_model: refuse dictionaries that do not fit this model.
        storage: dtype of the arrays in memory.
        placement: whole on the devices, split by features, or streamed (`engine.dictionary.placement`).
        options: of the format, such as `gating` of Llama Scope or `norm_scaling_factor` of SAELens.

    Returns:
        A `Dictionary` stack; a `CrossLayerTranscoder` where the files hold one; `StreamedDictionaries` if streamed.

    Raises:
        FileNotFoundError: the reference or a weight file is not there.
        ValueError: a layer is not there or there twice, a file is damaged, a dictionary does not fit the model or the
            others, or the format has no such option.
    """
    dtype = _check_storage(storage)
    sources = open_dictionaries(reference, layers, **options)
    if for_model is not None:
        for source in sources:
            check_fit(source, for_model)
    if is_checkpoint(Path(reference)):
        return restore_dictionaries(Path(reference), sources, placement, dtype)
    return place_dictionaries(sources, placement, dtype)


def open_dictionaries(
    reference: str | Path, layers: Iterable[int] | None = None, **options: Any
) -> list[DictionarySource]:
    """The same dictionaries described, their weights not read; see `load_dictionaries`."""
    wanted = None if layers is None else _check_layers(layers)
    if is_checkpoint(Path(reference)):
        if options:
            raise ValueError(f"{', '.join(options)}: {reference} was converted already; give options to `convert`")
        return open_checkpoint(Path(reference), wanted)
    name = hub_reference(str(reference))
    registered = None if Path(name).expanduser().exists() or ":" in name else sae_registry.look_up(name)
    if registered is None:
        module, places = fetch_places(name, wanted)
        return open_places(module, places, options)
    return _open_registered(registered, wanted, options)


def _open_registered(
    entry: sae_registry.RegisteredSae, wanted: list[int] | None, options: Mapping[str, Any]
) -> list[DictionarySource]:
    """One dictionary of SAELens's registry."""
    if entry.config_overrides:
        raise ValueError(
            f"reference: {entry.release}/{entry.sae_id} is read with corrections to its configuration "
            f"({', '.join(entry.config_overrides)}); download {entry.reference}, correct it, and name that folder"
        )
    module, places = fetch_places(entry.reference, wanted)
    if entry.file:
        places = {layer: place for layer, place in places.items() if place.name == entry.file}
    if entry.norm_scaling_factor is not None:
        # By layer: the registry lists a factor also for dictionaries that were trained without one.
        options = {"norm_scaling_factor": dict.fromkeys(places, entry.norm_scaling_factor), **options}
    return open_places(module, places, options)


def save_dictionary(
    directory: Path | str,
    dictionary: Dictionary,
    metadata: Mapping[str, Any] | None = None,
    *,
    storage: str = "float32",
    overwrite: bool = False,
) -> list[Path]:
    """Write a stack as SAELens 6 folders `blocks.{layer}.{hook}`, one a layer; all of them or none.

    Args:
        directory: made if absent; what else is in it stays, so that layers can be written one after the other.
        dictionary: a stack over the layers its configuration names, or one unstacked dictionary.
        metadata: entries for every cfg.json's `metadata` (model_name, ...).
        storage: dtype of the matrices on disk: float32, float16 or bfloat16. Vectors are float32.
        overwrite: replace dictionaries that are already there.

    Returns:
        The folders, in the stack's order.

    Raises:
        FileExistsError: one is there already and `overwrite` is false.
        ValueError: unknown storage, or values that are not finite in it.
    """
    config = dictionary.config
    hook = HOOKS.get(config.stream, config.stream)
    folders = [Path(directory) / f"blocks.{layer}.{hook}" for layer in config.layers]
    for folder in folders:
        if (folder / CONFIG).exists() and not overwrite:
            raise FileExistsError(f"{folder}: already there; name another directory or pass overwrite=True")
    stacked = dictionary.W_enc[...].ndim == 3
    with replacing_folder(directory) as partial:
        for index, (layer, folder) in enumerate(zip(config.layers, folders, strict=True)):
            one = take(dictionary, index) if stacked else dictionary
            write_folder(partial / folder.name, one, layer, metadata or {}, storage)
    return folders


def check_fit(source: DictionarySource, model: Model) -> None:
    """Refuse a dictionary that was made for another model.

    Raises:
        ValueError: its layer does not exist in the model, or a stream it reads or writes has another width there.
    """
    config = source.config
    trained_on = f" (trained on {source.model_name})" if source.model_name else ""
    if not 0 <= source.layer < model.config.num_layers:
        raise ValueError(
            f"{source.where}: belongs to layer {source.layer}{trained_on}, but {model.name} has layers "
            f"0..{model.config.num_layers - 1}; use a dictionary of this model, or name its layers"
        )
    sides = (("d_in", source.d_in, config.stream), ("d_out", source.d_out, config.output_stream))
    for side, found, stream in sides:
        width = _width(model.config, stream)
        if found != width:
            raise ValueError(
                f"{source.where}: {side} is {found}{trained_on}, but {stream} of {model.name} has width {width}; "
                "use a dictionary of this model"
            )


def _width(config: ModelConfig, stream: str) -> int:
    widths = {"mlp_act": config.d_ff, "head_out": config.num_heads * config.head_dim}
    return widths.get(stream, config.d_model)


def _check_storage(storage: str) -> jnp.dtype:
    if storage not in PRECISIONS:
        raise ValueError(f"storage: got {storage!r}; needs one of {', '.join(PRECISIONS)}")
    if storage == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError("storage: float64 needs jax's 64-bit mode; set JAX_ENABLE_X64=1")
    return jnp.dtype(storage)


def _check_layers(layers: Iterable[int]) -> list[int]:
    wanted = list(layers)
    if wrong := [layer for layer in wanted if isinstance(layer, bool) or not hasattr(layer, "__index__")]:
        raise ValueError(f"layers: got {wrong[0]!r}; needs whole numbers such as range(4)")
    wanted = [operator.index(layer) for layer in wanted]
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"layers: got {wanted}; name at least one layer, each once, or leave it out for all")
    return wanted
