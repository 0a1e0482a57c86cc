"""A weight in 8 bits filled from whoever can write parts of it in float: block by block, so that it is never there
whole in float.

A block is one layer of a stacked weight, or as many output channels as 256 MiB of float32 hold. It is read over all
that products sum, whatever part of that a shard holds, because the scale is that of the whole sum.

Cost: one reading of the weight for each part of it that lies apart (two where a mesh splits what products sum in two);
host memory beyond the result, one block in float32.
"""

import math

import jax
import numpy as np

from causeway.engine.filled_array import BLOCK_BYTES, Fill, Index, filled_array
from causeway.engine.model.quantised import Quantised, quantise


def filled_weight(abstract: Quantised, read: Fill) -> Quantised:
    """A weight in 8 bits, where `abstract` says.

    Args:
        abstract: with `jax.ShapeDtypeStruct` leaves. read: `read(target, index)` writes part `index` of the weight in
            float32 into `target`.
    """
    values, scale = abstract.values.get_value(), abstract.scale.get_value()
    scales = np.ones(scale.shape, np.float32)

    def fill(target: np.ndarray, index: Index) -> None:
        for block in _blocks(values.shape, abstract.contracted, index):
            whole = _over(block, abstract.contracted, [slice(0, size) for size in values.shape])
            matrix = np.empty([part.stop - part.start for part in whole], np.float32)
            read(matrix, whole)
            rounded, found = quantise(matrix, abstract.contracted)
            scales[_over(block, abstract.contracted, [slice(0, 1)] * len(block))] = found
            own = _over(tuple(slice(None) for _ in block), abstract.contracted, list(index))
            target[_within(block, index)] = rounded[own]

    made = filled_array(values.shape, np.dtype(np.int8), values.sharding, fill)

    def fill_scale(target: np.ndarray, index: Index) -> None:
        target[...] = scales[index]

    kept = filled_array(scale.shape, np.dtype(np.float32), scale.sharding, fill_scale)
    return jax.tree.map(lambda leaf: made if leaf is values else kept, abstract)


def _blocks(shape: tuple[int, ...], contracted: tuple[int, ...], index: Index) -> list[Index]:
    """A part in pieces along the first axis that products do not sum, each of a bounded size over all that they do."""
    summed = {axis % len(shape) for axis in contracted}
    axis = next(axis for axis in range(len(shape)) if axis not in summed)
    entry = 4 * math.prod(shape[i] if i in summed else p.stop - p.start for i, p in enumerate(index) if i != axis)
    step = max(1, BLOCK_BYTES // entry)
    start, stop = index[axis].start, index[axis].stop
    return [
        (*index[:axis], slice(first, min(first + step, stop)), *index[axis + 1 :]) for first in range(start, stop, step)
    ]


def _over(index: Index, contracted: tuple[int, ...], summed: list[slice]) -> Index:
    """The index with other parts of the axes that products sum."""
    axes = {axis % len(index) for axis in contracted}
    return tuple(summed[axis] if axis in axes else part for axis, part in enumerate(index))


def _within(block: Index, index: Index) -> Index:
    """A block's place in memory that begins where `index` does."""
    return tuple(slice(p.start - whole.start, p.stop - whole.start) for p, whole in zip(block, index, strict=True))
