"""Canonical dictionaries out of a reader's source, array by array, without the loader."""

import itertools

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray


def dictionary_of(source: DictionarySource, dtype) -> Dictionary:
    """The one dictionary that a source describes."""
    return Dictionary(source.config, **{name: jnp.asarray(a) for name, a in arrays_of(source, dtype).items()})


def cross_layer_of(sources: list[DictionarySource], dtype) -> CrossLayerTranscoder:
    """A cross-layer transcoder from the sources of its layers, lowest first."""
    layers = [arrays_of(source, dtype) for source in sources]
    stacked = {name: jnp.stack([a[name] for a in layers]) for name in layers[0] if name != "W_dec"}
    first = sources[0].config
    config = DictionaryConfig(
        first.kind, tuple(range(len(layers))), first.stream, first.k, write_stream=first.write_stream
    )
    return CrossLayerTranscoder(config, W_dec=tuple(jnp.asarray(a["W_dec"]) for a in layers), **stacked)


def arrays_of(source: DictionarySource, dtype) -> dict[str, np.ndarray]:
    """All arrays, each read whole and in ranges to the same values."""
    return {name: _read(array, name).astype(dtype) for name, array in source.arrays.items()}


def save_tensors(path, tensors: dict[str, np.ndarray]) -> None:
    """A safetensors file of contiguous copies (a transposed view would be written as if it were not)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.array(values, order="C") for name, values in tensors.items()}, path)


def _read(array: FeatureArray, name: str) -> np.ndarray:
    whole, axis = array.whole(), array.feature_axis
    assert whole.shape == array.shape, name
    if axis is not None:
        count = array.shape[axis]
        edges = (0, 0, 1, count // 2, count)
        parts = [array.read(a, b) for a, b in itertools.pairwise(edges)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=axis), whole, err_msg=name)
    return whole
