"""Canonical arrays out of stored tensors: transposed, cut to a range of features, folded.

A reader composes these, and nothing is read before a range is asked for. Stored values pass unchanged, in the dtype
of the file; what is folded comes in float64. Every range read is checked to be finite.

Cost: the bytes of the range asked for; a folded input bias reads the encoder's range a second time.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from causeway.ports.dictionaries.source import FeatureArray
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_checks import read_finite


def stored(tensor: TensorFile, feature_axis: int | None = None, transpose: bool = False) -> FeatureArray:
    """A tensor as the file has it, or transposed.

    Args:
        tensor: what the file holds.
        feature_axis: the axis of the stored tensor that counts features; None for none.
        transpose: reverse the axes, for matrices stored the other way around.
    """

    def read(start: int, stop: int) -> np.ndarray:
        values = read_finite(tensor if feature_axis is None else _part(tensor, start, stop, feature_axis), tensor.dtype)
        return values.T if transpose else values

    if not transpose:
        return FeatureArray(tensor.shape, feature_axis, tensor.dtype, read)
    axis = None if feature_axis is None else len(tensor.shape) - 1 - feature_axis
    return FeatureArray(tensor.shape[::-1], axis, tensor.dtype, read)


def in_memory(values: np.ndarray, feature_axis: int | None = 0) -> FeatureArray:
    """An array that is there already, such as a threshold that the file gives once for all features."""

    def read(start: int, stop: int) -> np.ndarray:
        return values if feature_axis is None else values.take(range(start, stop), axis=feature_axis)

    return FeatureArray(values.shape, feature_axis, values.dtype, read)


def mapped(array: FeatureArray, function: Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]]):
    """An array whose ranges of features each go through a function, in float64."""
    return dataclasses.replace(array, read=lambda start, stop: function(array.read(start, stop).astype(np.float64)))


def of_centred_input(encoder: FeatureArray) -> FeatureArray:
    """The encoder, for a raw stream, of one that reads the stream less its mean: (x - mean x) W = x (W - mean W).

    Args:
        encoder: W [D, F]; the mean is over D.
    """
    return mapped(encoder, lambda columns: columns - columns.mean(axis=0, keepdims=True))


def without_input_bias(bias: FeatureArray | None, centre: FeatureArray, encoder: FeatureArray) -> FeatureArray:
    """The encoder bias of a dictionary that subtracts a vector from its input: (x - c) W + b = x W + (b - c W).

    Args:
        bias: b [F]; None for zero.
        centre: c [D].
        encoder: W [D, F].
    """

    def read(start: int, stop: int) -> Float[np.ndarray, " range"]:
        shift = centre.whole().astype(np.float64) @ encoder.read(start, stop).astype(np.float64)
        return (0 if bias is None else bias.read(start, stop).astype(np.float64)) - shift

    return FeatureArray((encoder.shape[1],), 0, encoder.dtype if bias is None else bias.dtype, read)


def _part(tensor: TensorFile, start: int, stop: int, axis: int) -> TensorFile:
    """The same tensor cut to a range, so that what is refused in it is named as for a whole one."""
    shape = (*tensor.shape[:axis], stop - start, *tensor.shape[axis + 1 :])
    return dataclasses.replace(tensor, shape=shape, read=lambda: tensor.read_slice(start, stop, axis))
