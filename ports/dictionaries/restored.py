"""Converted dictionaries back into memory: whole, split by features or streamed, in any dtype.

Each layer's arrays are checked against their checksums and restored by Orbax onto their shards; a stack is filled layer
by layer in place, so that beside the stack there is one layer. Streamed from disk, a layer is checked the first time.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.placement import Placement, Replicated, Sharded, Streamed, StreamedDictionaries
from causeway.engine.saved_arrays import described_arrays, restore_arrays
from causeway.engine.sweep.checksums import SealedFolder
from causeway.ports.dictionaries.placed import Loaded, common_config, refuse_streaming
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.models.checkpoints import layer_folder, open_sealed, read_about


def open_checkpoint(directory: Path, wanted: Sequence[int] | None) -> list[DictionarySource]:
    """The layers of a checkpoint, described.

    Raises:
        ValueError: damaged, not of dictionaries, or without a layer that is wanted.
    """
    sealed = open_sealed(directory)
    about = read_about(directory, "dictionaries")
    storage = np.dtype(jnp.dtype(about["storage"]))
    sources = {entry["config"]["layers"][0]: _source(sealed, directory, entry, storage) for entry in about["layers"]}
    if missing := sorted(set(wanted or ()) - set(sources)):
        raise ValueError(f"layers: {directory} has no dictionary for {missing}; it has {sorted(sources)}")
    return [sources[layer] for layer in sorted(sources if wanted is None else wanted)]


def restore_dictionaries(directory: Path, sources: Sequence[DictionarySource], placement: Placement, dtype: np.dtype):
    """What `load_dictionaries` returns, from a checkpoint.

    Raises:
        ValueError: a file is damaged, the dictionaries do not stack, or values are not finite in the dtype.
    """
    sealed = open_sealed(directory)
    cross_layer = any(len(source.arrays["W_dec"].shape) == 3 for source in sources)
    if isinstance(placement, Streamed):
        refuse_streaming(sources, cross_layer)
        return _streamed(sealed, directory, sources, placement, dtype)
    config = common_config(sources, ("W_dec",) if cross_layer else ())
    stacks: dict[str, jax.Array] = {}
    decoders: list[jax.Array] = []
    for place, source in enumerate(sources):
        arrays = _restore(sealed, directory, source, placement, dtype)
        if cross_layer:
            decoders.append(arrays.pop("W_dec"))
        for name, array in arrays.items():
            whole = stacks.pop(name) if place else _empty(source.arrays[name], len(sources), placement, dtype)
            stacks[name] = _write(whole, array, place)
    if cross_layer:
        return CrossLayerTranscoder(config, W_dec=tuple(decoders), **stacks)
    return Dictionary(config, **stacks)


def _streamed(
    sealed: SealedFolder, directory: Path, sources: Sequence[DictionarySource], placement: Streamed, dtype: np.dtype
) -> Loaded:
    by_layer = {source.layer: source for source in sources}

    def restored(layer: int, where: Replicated | Sharded) -> dict[str, jax.Array]:
        return _restore(sealed, directory, by_layer[layer], where, dtype)

    def from_disk(layer: int) -> Dictionary:
        return Dictionary(by_layer[layer].config, **restored(layer, placement.each))

    if placement.keep == "disk":
        return StreamedDictionaries([source.config for source in sources], from_disk, placement.resident)
    kept = {layer: jax.device_get(restored(layer, Replicated())) for layer in by_layer}

    def from_host(layer: int) -> Dictionary:
        shardings = {n: _sharding(by_layer[layer].arrays[n], placement.each) for n in kept[layer]}
        return Dictionary(
            by_layer[layer].config, **{n: jax.device_put(a, shardings[n]) for n, a in kept[layer].items()}
        )

    return StreamedDictionaries([source.config for source in sources], from_host, placement.resident)


def _restore(
    sealed: SealedFolder, directory: Path, source: DictionarySource, placement: Replicated | Sharded, dtype: np.dtype
) -> dict[str, jax.Array]:
    wanted = {
        name: jax.ShapeDtypeStruct(array.shape, dtype, sharding=_sharding(array, placement))
        for name, array in source.arrays.items()
    }
    return restore_arrays(_checked(sealed, directory, source.layer), wanted)


def _checked(sealed: SealedFolder, directory: Path, layer: int) -> Path:
    """The folder of a layer, once its files are known to be what was written."""
    folder = layer_folder(layer)
    sealed.check(lambda name: name.startswith(f"{folder}/"))
    return directory / folder


def _sharding(array: FeatureArray, placement: Replicated | Sharded):
    return placement.sharding(array.shape, array.feature_axis)


def _empty(array: FeatureArray, count: int, placement: Replicated | Sharded, dtype: np.dtype) -> jax.Array:
    shape = (count, *array.shape)
    axis = None if array.feature_axis is None else array.feature_axis + 1
    return jnp.zeros(shape, dtype, device=placement.sharding(shape, axis))


@functools.partial(jax.jit, donate_argnums=0)
def _write(whole: jax.Array, one: jax.Array, place: int) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(whole, one, place, 0)


def _source(sealed: SealedFolder, directory: Path, entry: Mapping[str, Any], storage: np.dtype) -> DictionarySource:
    config = DictionaryConfig(**entry["config"] | {"layers": tuple(entry["config"]["layers"])})
    folder = directory / layer_folder(config.layers[0])
    whole = functools.partial(_on_host, sealed, directory, config.layers[0])
    arrays = {}
    for name, shape in entry["shapes"].items():
        axis = entry["feature_axes"][name]
        arrays[name] = FeatureArray(tuple(shape), axis, storage, functools.partial(_read, whole, name, axis))
    return DictionarySource(
        folder, entry["format"], config, arrays, (folder,), entry["model_name"], entry["value_scale"],
        entry.get("centred", False), entry["card"],
    )  # fmt: skip


def _read(whole: Callable[[], dict[str, np.ndarray]], name: str, axis: int | None, start: int, stop: int) -> np.ndarray:
    """For whoever wants a range on the host."""
    values = whole()[name]
    return values if axis is None else values[(slice(None),) * axis + (slice(start, stop),)]


@functools.lru_cache(maxsize=1)
def _on_host(sealed: SealedFolder, directory: Path, layer: int) -> dict[str, np.ndarray]:
    """A layer restored whole; the last one is kept, as ranges of it are asked for one after another."""
    folder = _checked(sealed, directory, layer)
    return jax.device_get(restore_arrays(folder, described_arrays(folder)))
