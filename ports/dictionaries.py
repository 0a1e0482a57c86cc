"""`load_dictionaries` and `save_dictionary`: stacks of dictionaries, one folder a layer.

The folders may have any names and lie at any depth; which layer a dictionary belongs to is read from its own
configuration. Weights are opened only for the layers asked for, and fetched only for them when the reference is on
the hub.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp

from causeway.engine.dictionary.dictionary import Dictionary, stack, take
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model
from causeway.ports.hub import resolve
from causeway.ports.saelens import CONFIG, WEIGHTS, read_folder, read_folder_config
from causeway.ports.saelens_config import SaelensConfig
from causeway.ports.saelens_write import HOOKS, write_folder
from causeway.ports.tensor_checks import listed

BUNDLED_FOLDER = "saes"


def load_dictionaries(
    reference: str | Path,
    layers: Iterable[int] | None = None,
    *,
    for_model: Model | None = None,
    storage: Literal["float32", "bfloat16", "float64"] = "float32",
) -> Dictionary:
    """Dictionaries of several layers as one stack, lowest layer first.

    Args:
        reference: directory of SAELens folders or one such folder, `bundled:NAME`, or hub id
            `org/name[/folder][@revision]`.
        layers: model layers wanted; None takes all that are there.
        for_model: refuse dictionaries that do not fit this model.
        storage: dtype of the arrays in memory.

    Raises:
        FileNotFoundError: the reference or a weight file is not there.
        ValueError: a layer is not there or there twice, a file is damaged, or a dictionary does not fit the model.
    """
    wanted = None if layers is None else _check_layers(layers)
    name = str(reference)
    directory = resolve(name, [CONFIG, f"*/{CONFIG}"], lambda path: _holds(path, wanted))
    found = _find(_root(directory))
    folders = _choose(_root(directory), found, wanted)
    if for_model is not None:
        for folder in folders:
            check_fit(found[folder], for_model)
    folders = _with_weights(name, directory, folders)
    return stack([read_folder(folder, jnp.dtype(storage)) for folder in folders])


def save_dictionary(
    directory: Path | str,
    dictionary: Dictionary,
    metadata: Mapping[str, Any] | None = None,
    *,
    storage: str = "float32",
    overwrite: bool = False,
) -> list[Path]:
    """Write a stack as SAELens 6 folders `blocks.{layer}.{hook}`, one a layer.

    Args:
        directory: made if absent.
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
    for index, (layer, folder) in enumerate(zip(config.layers, folders, strict=True)):
        write_folder(folder, take(dictionary, index) if stacked else dictionary, layer, metadata or {}, storage)
    return folders


def check_fit(config: SaelensConfig, model: Model) -> None:
    """Refuse a dictionary that was made for another model.

    Raises:
        ValueError: its width or layer does not exist in the model.
    """
    width = _width(model.config, config.site.stream)
    trained_on = f" (trained on {config.model_name})" if config.model_name else ""
    if config.d_in != width:
        raise ValueError(
            f"{config.where}: d_in is {config.d_in}{trained_on}, but {config.site.stream} of {model.name} has width "
            f"{width}; use a dictionary of this model"
        )
    if not 0 <= config.site.layer < model.config.num_layers:
        raise ValueError(
            f"{config.where}: belongs to layer {config.site.layer}{trained_on}, but {model.name} has layers "
            f"0..{model.config.num_layers - 1}; use a dictionary of this model, or name its layers"
        )


def _width(config: ModelConfig, stream: str) -> int:
    return config.d_ff if stream == "mlp_act" else config.d_model


def _check_layers(layers: Iterable[int]) -> list[int]:
    wanted = [int(layer) for layer in layers]
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"layers: got {wanted}; name at least one layer, each once, or leave it out for all")
    return wanted


def _root(directory: Path) -> Path:
    """A bundled model keeps its dictionaries beside its weights."""
    return directory / BUNDLED_FOLDER if (directory / BUNDLED_FOLDER).is_dir() else directory


def _find(root: Path) -> dict[Path, SaelensConfig]:
    """Folder -> configuration of every dictionary at or below a directory."""
    folders = sorted(path.parent for path in root.rglob(CONFIG))
    if not folders:
        names = sorted(path.name for path in root.iterdir())
        raise FileNotFoundError(f"{root}: no dictionary ({CONFIG}) in it; it holds {listed(names) or 'nothing'}")
    return {folder: read_folder_config(folder) for folder in folders}


def _holds(path: Path, wanted: list[int] | None) -> bool:
    """Whether a cached copy has the configurations of all layers wanted."""
    if not any(path.rglob(CONFIG)):
        return False
    present = {config.site.layer for config in _find(_root(path)).values()}
    return wanted is None or set(wanted) <= present


def _choose(root: Path, found: Mapping[Path, SaelensConfig], wanted: list[int] | None) -> list[Path]:
    """The folders of the layers wanted, lowest layer first."""
    by_layer: dict[int, list[Path]] = {}
    for folder, config in found.items():
        by_layer.setdefault(config.site.layer, []).append(folder)
    missing = sorted(set(wanted or ()) - set(by_layer))
    if missing:
        raise ValueError(f"layers: {root} has no dictionary for {listed(missing)}; it has {sorted(by_layer)}")
    chosen = sorted(by_layer if wanted is None else wanted)
    for layer in chosen:
        if len(by_layer[layer]) > 1:
            names = listed([folder.relative_to(root) for folder in by_layer[layer]])
            raise ValueError(f"layers: {root} has several dictionaries for layer {layer} ({names}); name one folder")
    return [by_layer[layer][0] for layer in chosen]


def _with_weights(reference: str, directory: Path, folders: list[Path]) -> list[Path]:
    """The same folders with their weights on this machine.

    Configurations are asked for once more, because a branch may have moved since they were cached, and weights and
    configuration have to be of one revision.
    """
    if all((folder / WEIGHTS).is_file() for folder in folders):
        return folders
    places = [folder.relative_to(directory) for folder in folders]
    paths = [str(place / name) for place in places for name in (CONFIG, WEIGHTS)]
    fetched = resolve(reference, paths, lambda path: all((path / name).is_file() for name in paths))
    return [fetched / place for place in places]
