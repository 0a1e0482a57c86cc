"""Described dictionaries into the memory of their shards.

Each array is read by ranges of features, of a few MB, folded as the format asks, cast and written to its place in the
finished array, so that a shard reads its own features alone and no dictionary is ever there twice. Layers go one
after the other, ranges through two threads.

Cost: host memory beyond the result is two ranges and what a fold makes of them; every byte of the files is read as
often as the format's folds ask for it (W_enc twice where the input's bias is folded).
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.placement import (
    Placement,
    Replicated,
    Sharded,
    Streamed,
    StreamedDictionaries,
)  # fmt: skip
from causeway.engine.filled_array import Index, aligned_empty, filled_array
from causeway.engine.progress import each
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray
from causeway.ports.files.tensor_copy import copy_finite

RANGE_BYTES = 1 << 22
THREADS = 2

Loaded = Dictionary | CrossLayerTranscoder | StreamedDictionaries
# One array of a layer: what is read, and where it is said.
Part = tuple[DictionarySource, FeatureArray]


def place_dictionaries(sources: Sequence[DictionarySource], placement: Placement, dtype: np.dtype) -> Loaded:
    """One stack, a cross-layer transcoder, or a streamed set.

    Args:
        sources: one a layer, lowest first. placement: where the arrays live. dtype: of the arrays in memory.

    Raises:
        ValueError: the dictionaries do not stack, a value is not finite in the dtype, or a cross-layer transcoder is
            to be streamed.
    """
    if not isinstance(placement, Replicated | Sharded | Streamed):
        raise ValueError(f"placement: got {placement!r}; needs Replicated(), Sharded(mesh) or Streamed()")
    cross_layer = any(len(source.arrays["W_dec"].shape) == 3 for source in sources)
    if cross_layer:
        _check_all_layers(sources)
    if isinstance(placement, Streamed):
        refuse_streaming(sources, cross_layer)
        return _streamed(sources, placement, dtype)
    config = common_config(sources, ("W_dec",) if cross_layer else ())
    names = [name for name in sources[0].arrays if not (cross_layer and name == "W_dec")]
    by_name = {name: [(source, source.arrays[name]) for source in sources] for name in names}
    arrays = {
        name: _stacked(parts, placement, dtype) for name, parts in each("dictionaries read", by_name.items(), "array")
    }
    if not cross_layer:
        return Dictionary(config, **arrays)
    decoders = tuple(_single((source, source.arrays["W_dec"]), placement, dtype) for source in sources)
    return CrossLayerTranscoder(config, W_dec=decoders, **arrays)


def _check_all_layers(sources: Sequence[DictionarySource]) -> None:
    """A cross-layer transcoder is one thing: its layers write to each other."""
    layers = [source.layer for source in sources]
    written = [source.arrays["W_dec"].shape[1] for source in sources]
    if layers != list(range(written[0])) or written != list(range(written[0], 0, -1)):
        raise ValueError(
            f"{sources[0].where}: layers {layers} of a cross-layer transcoder that write to {written} layers; needs "
            "all its layers, so leave `layers` out and download the files that are missing"
        )


def place_layer(source: DictionarySource, placement: Replicated | Sharded, dtype: np.dtype) -> dict[str, jax.Array]:
    """The arrays of one layer by name, unstacked.

    Raises:
        ValueError: a value is not finite in the dtype.
    """
    return {name: _single((source, array), placement, dtype) for name, array in source.arrays.items()}


def refuse_streaming(sources: Sequence[DictionarySource], cross_layer: bool) -> None:
    """Raises ValueError for a cross-layer transcoder, whose layers need each other."""
    if cross_layer:
        raise ValueError(
            f"placement: {sources[0].where} is a layer of a cross-layer transcoder, whose layers are decoded "
            "together; use Replicated or Sharded"
        )


def common_config(sources: Sequence[DictionarySource], but: Sequence[str] = ()) -> DictionaryConfig:
    """The configuration of the stack of some layers.

    Args:
        sources: one a layer. but: arrays that may have other shapes from layer to layer.

    Raises:
        ValueError: the layers differ in more than their number.
    """
    first = sources[0]
    for other in sources[1:]:
        a, b = (dataclasses.replace(source.config, layers=()) for source in (first, other))
        shapes = [{n: x.shape for n, x in s.arrays.items() if n not in but} for s in (first, other)]
        if a != b or shapes[0] != shapes[1]:
            raise ValueError(
                f"dictionaries of layers {first.config.layers} and {other.config.layers} differ: {a} {shapes[0]} "
                f"({first.where}) against {b} {shapes[1]} ({other.where}); load them apart, or streamed"
            )
    return dataclasses.replace(first.config, layers=tuple(source.layer for source in sources))


def _stacked(parts: Sequence[Part], placement: Replicated | Sharded, dtype: np.dtype) -> jax.Array:
    """[P, ...] of one array."""
    array = parts[0][1]
    shape, axis = (len(parts), *array.shape), None if array.feature_axis is None else array.feature_axis + 1

    def fill(target: np.ndarray, index: Index) -> None:
        for layer, part in zip(range(index[0].start, index[0].stop), target, strict=True):
            _fill(parts[layer], part, index[1:])

    return filled_array(shape, dtype, placement.sharding(shape, axis), fill)


def _single(part: Part, placement: Replicated | Sharded, dtype: np.dtype) -> jax.Array:
    shape = part[1].shape
    sharding = placement.sharding(shape, part[1].feature_axis)
    return filled_array(shape, dtype, sharding, functools.partial(_fill, part))


def _fill(part: Part, target: np.ndarray, index: Index) -> None:
    """Part `index` of an array into memory, by ranges of features."""
    axis = part[1].feature_axis
    if axis is None:
        return _copy(part, part[1].read(0, 0)[index], target)
    start, stop = index[axis].start, index[axis].stop
    entry = part[1].dtype.itemsize * math.prod(part[1].shape) // max(1, part[1].shape[axis])
    step = max(1, RANGE_BYTES // max(1, entry))
    before = (slice(None),) * axis

    def fill_range(first: int) -> None:
        last = min(first + step, stop)
        values = part[1].read(first, last)[(*index[:axis], slice(None), *index[axis + 1 :])]
        _copy(part, values, target[(*before, slice(first - start, last - start))])

    firsts = range(start, stop, step)
    if len(firsts) == 1:
        return fill_range(start)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(fill_range, firsts))
    return None


def _copy(part: Part, values: np.ndarray, target: np.ndarray) -> None:
    if not copy_finite(values, target):
        name = next(name for name, array in part[0].arrays.items() if array is part[1])
        raise ValueError(
            f"{part[0].where}: {name} has values that are not finite in {target.dtype}; "
            "the file is damaged, or needs a wider storage dtype"
        )


def _streamed(sources: Sequence[DictionarySource], placement: Streamed, dtype: np.dtype) -> StreamedDictionaries:
    by_layer = {source.layer: source for source in sources}
    for source in sources:  # whatever does not fit the mesh is found before anything is read
        for array in source.arrays.values():
            placement.each.sharding(array.shape, array.feature_axis)
    if placement.keep == "host":
        kept = {layer: _on_host(source, dtype) for layer, source in by_layer.items()}
        by_layer = {layer: dataclasses.replace(by_layer[layer], arrays=arrays) for layer, arrays in kept.items()}

    def load(layer: int) -> Dictionary:
        source = by_layer[layer]
        return Dictionary(source.config, **place_layer(source, placement.each, dtype))

    return StreamedDictionaries([source.config for source in sources], load, placement.resident)


def _on_host(source: DictionarySource, dtype: np.dtype) -> dict[str, FeatureArray]:
    """The same arrays, read and folded, in host memory."""
    kept = {}
    for name, array in source.arrays.items():
        values = aligned_empty(array.shape, dtype)
        _fill((source, array), values, tuple(slice(0, size) for size in array.shape))
        kept[name] = FeatureArray(array.shape, array.feature_axis, dtype, _reader(values, array.feature_axis))
    return kept


def _reader(values: np.ndarray, axis: int | None):
    if axis is None:
        return lambda start, stop: values
    return lambda start, stop: values[(slice(None),) * axis + (slice(start, stop),)]
