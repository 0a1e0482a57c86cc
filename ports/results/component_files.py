"""Components of neurons on disk: a folder with one archive a layer and what they are.

    components_layer_{l}.npz    neuron [M] int32, mean [M, D] and component [M, D] float32
    neurons.parquet             a row a neuron
    components.json             the model's fingerprint, the layers, and how they were made
    as_published.json           on request: what the original calls sparsity and its component

The JSON is written last: with it the components are whole.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.components import Components
from causeway.engine.neurons import Neurons
from causeway.engine.sweep import durable
from causeway.engine.sweep.checksums import check
from causeway.engine.sweep.table import encode
from causeway.ports.files.foreign import check_file
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.npz_files import open_npz
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.files.text_files import CONFIG_BYTES, read_text

ABOUT, NEURONS, AS_PUBLISHED = "components.json", "neurons.parquet", "as_published.json"
ARRAYS = ("neuron", "mean", "component")
_ADVICE = "give the folder that `components` wrote"


def layer_path(folder: Path, layer: int) -> Path:
    """Where the components of a layer are."""
    return folder / f"components_layer_{layer}.npz"


def names(layers: Sequence[int]) -> list[str]:
    """Files of a folder, relative to it."""
    return [*(layer_path(Path(), layer).name for layer in layers), NEURONS, AS_PUBLISHED, ABOUT]


def write_layer(folder: Path, components: Components) -> None:
    """Write one layer into a folder that is there."""
    arrays = {name: getattr(components, name) for name in ARRAYS}
    arrays = {name: a.astype(np.int32 if name == "neuron" else np.float32) for name, a in arrays.items()}
    with durable.replacing(layer_path(folder, components.layer)) as path, path.open("wb") as file:
        np.savez(file, **arrays)


def write_neurons(folder: Path, table: pa.Table) -> None:
    """Write the table of neurons into a folder that is there."""
    durable.write_bytes(folder / NEURONS, encode(table))


def write_as_published(folder: Path, content: Mapping[str, Any] | None) -> None:
    """Write what the original reports; None removes an earlier file."""
    path = folder / AS_PUBLISHED
    if content is None:
        durable.remove(path)
    else:
        durable.write_bytes(path, (json.dumps(scalars.without_nan(dict(content)), indent=1) + "\n").encode())


def write_about(folder: Path, fingerprint: str, layers: Sequence[int], about: Mapping[str, Any]) -> None:
    """Write what the layers are, after them.

    Args:
        folder: where they are. fingerprint: of the model's weights. layers: all that were written.
        about: how they were made, as JSON values.
    """
    content = {"model_fingerprint": fingerprint, "layers": list(layers), **scalars.without_nan(dict(about))}
    durable.write_bytes(folder / ABOUT, (json.dumps(content, indent=1) + "\n").encode())


def read_table(folder: Path | str) -> pa.Table:
    """The table of neurons of a folder.

    Raises:
        FileNotFoundError: it has none. ValueError: a damaged file.
    """
    return read_parquet(Path(folder) / NEURONS, missing=_ADVICE)


def read_made(folder: Path | str) -> dict[str, Any]:
    """How the components of a folder were made.

    Raises:
        FileNotFoundError: it has no components. ValueError: a damaged file.
    """
    path = Path(folder) / ABOUT
    check_file(path, missing=_ADVICE)
    check(path)
    return parse_json(read_text(path, CONFIG_BYTES, missing=_ADVICE), str(path))


def read_about(folder: Path | str) -> tuple[str, tuple[int, ...]]:
    """The model's fingerprint and the layers of a folder.

    Raises:
        FileNotFoundError: it has no components.
        ValueError: a damaged file, or one of something else.
    """
    path = Path(folder) / ABOUT
    content = parse_json(read_text(path, CONFIG_BYTES, missing=_ADVICE), str(path))
    try:
        fingerprint, layers = str(content["model_fingerprint"]), content["layers"]
    except (TypeError, KeyError):
        raise ValueError(f"{path}: does not say what the components are; {_ADVICE}") from None
    found = tuple(scalars.integers(layers, f"{path}: layers").tolist())
    if not found:
        raise ValueError(f"{path}: has no layers; {_ADVICE}")
    return fingerprint, found


def read_components(
    folder: Path | str,
    layers: Sequence[int] | None = None,
    neurons: Neurons | None = None,
    limit: int | None = None,
) -> list[Components]:
    """The components of some layers of a folder.

    Args:
        folder: that `components` wrote.
        layers: those read; default: all there are.
        neurons: those kept, and the layers with them; default: all.
        limit: the first so many of each layer alone.

    Raises:
        FileNotFoundError: it has none.
        ValueError: damaged files, or layers or neurons that are not there.
    """
    there = read_about(folder)[1] if neurons is None else neurons.layers
    chosen = there if layers is None else tuple(layers)
    if neurons is not None and (extra := set(chosen) - set(there)):
        raise ValueError(f"layers: got {min(extra)}, of which no neuron is named; name layers of the neurons")
    found = [read_layer(folder, layer) for layer in chosen]
    if neurons is not None:
        found = [one.only(neurons.of(one.layer)) for one in found]
    return found if limit is None else [one.only(one.neuron[:limit]) for one in found]


def read_layer(folder: Path | str, layer: int) -> Components:
    """The components of one layer of a folder.

    Raises:
        FileNotFoundError: it has none.
        ValueError: damaged files, or files of something else.
    """
    fingerprint, layers = read_about(folder)
    path = layer_path(Path(folder), layer)
    if layer not in layers:
        raise ValueError(f"{folder}: has components of layers {', '.join(map(str, layers))}, none of layer {layer}")
    check_file(path, missing=_ADVICE)
    check(path)
    tensors = open_npz(path)
    if missing := set(ARRAYS) - set(tensors):
        raise ValueError(f"{path}: lacks the arrays {', '.join(sorted(missing))}; {_ADVICE}")
    neuron, mean, component = (tensors[name].read() for name in ARRAYS)
    try:
        return Components(layer, neuron, mean, component, fingerprint)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
