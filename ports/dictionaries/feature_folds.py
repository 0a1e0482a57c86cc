"""Folds of what a format leaves outside its matrices: constant scales, and the norms of decoder rows, n_i = |W_dec_i|.

Some dictionaries compare p_i n_i with a threshold, or rank it: how far a feature moves the output decides whether it
is on. The canonical activation compares p_i itself, so the norm goes into the threshold (t_i / n_i), or, where it is
ranked, into the encoder and out of the decoder.

Cost: folds are made in float64 on the range asked for; norms of decoder rows a block of rows at a time.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float

from causeway.ports.dictionaries.feature_arrays import mapped
from causeway.ports.dictionaries.source import FeatureArray

BLOCK = 1024
# The largest float16: finite in every dtype of storage, and far beyond any pre-activation.
UNREACHED = 65504.0


def scaled(array: FeatureArray, factor: float) -> FeatureArray:
    """An array times a number; by 1 it is untouched, to the bit."""
    return array if factor == 1 else mapped(array, lambda values: values * factor)


def in_blocks(array: FeatureArray) -> FeatureArray:
    """The same array, read a block of features at a time.

    For a vector that costs a matrix to compute: whoever asks for all of it should not hold all of the matrix.
    """

    def read(start: int, stop: int) -> np.ndarray:
        edges = [*range(start, stop, BLOCK), stop]
        parts = [array.read(a, b) for a, b in itertools.pairwise(edges)] or [array.read(start, stop)]
        return np.concatenate(parts, axis=array.feature_axis)

    return dataclasses.replace(array, read=read)


def row_norms(decoder: FeatureArray) -> FeatureArray:
    """The norms [F] of a decoder's rows, in float64.

    Args:
        decoder: W_dec [F, O]; of a cross-layer transcoder [F, M, O], a row being all that a feature writes.
    """

    def read(start: int, stop: int) -> Float[np.ndarray, " range"]:
        rows = decoder.read(start, stop).astype(np.float64)
        return np.sqrt(np.square(rows).sum(axis=tuple(range(1, rows.ndim))))

    return in_blocks(FeatureArray(decoder.shape[:1], 0, decoder.dtype, read))


def threshold_on_norm(threshold: FeatureArray, norms: FeatureArray) -> FeatureArray:
    """The threshold on p that is a threshold t on p n: t / n.

    A zero row has p n = 0: never above t >= 0, so its threshold is one that is never reached, and always above t < 0.
    So are thresholds of rows so small that theirs would not be finite in some dtype.

    Args:
        threshold: t [F].
        norms: n [F].
    """

    def read(start: int, stop: int) -> Float[np.ndarray, " range"]:
        t, n = threshold.read(start, stop).astype(np.float64), norms.read(start, stop)
        folded = np.where(n > 0, t / np.where(n > 0, n, 1), np.where(t >= 0, np.inf, -np.inf))
        return np.clip(folded, -UNREACHED, UNREACHED)

    return dataclasses.replace(threshold, read=read)


def times_norm(array: FeatureArray, norms: FeatureArray, power: int) -> FeatureArray:
    """Features times n (power 1) or over n (power -1, zero rows unchanged).

    Args:
        array: anything with an axis of features.
        norms: n [F].
    """
    axes = tuple(axis for axis in range(len(array.shape)) if axis != array.feature_axis)

    def read(start: int, stop: int) -> np.ndarray:
        n = norms.read(start, stop)
        factor = n if power == 1 else 1 / np.where(n > 0, n, 1)
        return array.read(start, stop).astype(np.float64) * np.expand_dims(factor, axes)

    return dataclasses.replace(array, read=read)
