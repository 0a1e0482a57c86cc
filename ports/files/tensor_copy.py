"""Values from a mapped file into an array's own memory: cast, turned and checked in one pass, tile by tile.

What loading costs is memory traffic, most of all the first touch of new pages, so every byte of the target is written
once and there is no intermediate array of a tensor's size. A tile fits in a core's cache: it is read, cast, checked
to be finite and written before the next one is looked at, and several threads work on tiles of one tensor (numpy
lets go of the interpreter while it copies).

A transposed copy goes through a small staging array whose rows are a cache line longer than a power of two, because
reading down a column of an unpadded one keeps hitting the same few lines of the cache: 2.4 GB/s against 0.7.

Cost: one read of the source, one write of the target; staging of a tile (1 MiB) a thread.
"""

import functools
import itertools
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

TILE_BYTES = 1 << 20
ROWS = 256
PADDING_BYTES = 64
MAX_THREADS = 8
# Bits of the exponent: all set in infinities and NaNs, and only there.
EXPONENTS = {
    "float64": (np.uint64, 0x7FF0_0000_0000_0000),
    "float32": (np.uint32, 0x7F80_0000),
    "float16": (np.uint16, 0x7C00),
    "bfloat16": (np.uint16, 0x7F80),
}
_OWN = threading.local()

Place = tuple[int | slice, ...]


def copy_finite(source: np.ndarray, target: np.ndarray) -> bool:
    """`target[...] = source`, cast to the target's dtype.

    Args:
        source: of any strides, such as a transposed view of a file.
        target: of the same shape.

    Returns:
        Whether every value is finite in the target's dtype; where not, what the target holds is of no use.
    """
    source, target = np.atleast_1d(source), np.atleast_1d(target)
    order = sorted(range(source.ndim), key=lambda axis: -source.strides[axis])
    source, target = _merged(source.transpose(order), target.transpose(order))
    places = list(_places(source, target))
    if len(places) == 1:
        return _copy_tile(source, target, places[0])
    return all(_threads().map(lambda place: _copy_tile(source, target, place), places))


def _merged(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same arrays with neighbouring axes made one where both step through them as through one (heads, widths)."""
    shape: list[int] = []
    for axis, size in enumerate(source.shape):
        joined = shape and all(a.strides[axis - 1] == size * a.strides[axis] for a in (source, target))
        shape = [*shape[:-1], shape[-1] * size] if joined else [*shape, size]
    return source.reshape(shape, copy=False), target.reshape(shape, copy=False)


def _places(source: np.ndarray, target: np.ndarray) -> Iterator[Place]:
    """Tiles that cover arrays whose last axis is the one along which the source is contiguous."""
    if not source.size:
        return iter([()])
    columns = max(1, TILE_BYTES // target.itemsize)
    along = _contiguous_axis(target)
    if along == source.ndim - 1:
        return _straight(source.shape, columns)
    return _turned(source.shape, along, max(1, columns // ROWS))


def _straight(shape: tuple[int, ...], count: int) -> Iterator[Place]:
    """Runs of about `count` entries in the order of the axes."""
    axis, inner = len(shape) - 1, 1
    while axis and inner * shape[axis] <= count:
        inner *= shape[axis]
        axis -= 1
    for lead in itertools.product(*map(range, shape[:axis])):
        for part in _cut(shape[axis], max(1, count // inner)):
            place: list[int | slice] = [*lead, part]
            yield tuple(place)


def _turned(shape: tuple[int, ...], along: int, columns: int) -> Iterator[Place]:
    """Rectangles of the axis along which the target is contiguous and the last, along which the source is."""
    steps = {along: ROWS, len(shape) - 1: columns}
    cuts = [_cut(size, steps.get(axis, 1)) for axis, size in enumerate(shape)]
    yield from itertools.product(*cuts)


def _cut(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _contiguous_axis(array: np.ndarray) -> int:
    """The axis of the smallest step; axes of one entry have no say."""
    steps = [array.strides[axis] if array.shape[axis] > 1 else math.inf for axis in range(array.ndim)]
    return array.ndim - 1 - int(np.argmin(steps[::-1]))


def _copy_tile(source: np.ndarray, target: np.ndarray, place: Place) -> bool:
    source, target = source[place], target[place]
    if source.dtype == target.dtype:
        # numpy moves integers fast and without the interpreter's lock; a bfloat16 is no type of its own.
        source = source.view(EXPONENTS[source.dtype.name][0])
    turned = target.size and _contiguous_axis(target) != target.ndim - 1
    written = _staging(target.shape, target.dtype) if turned else target
    with np.errstate(over="ignore", invalid="ignore"):
        np.copyto(_like(source, written), source, casting="unsafe")
    if turned:
        np.copyto(_bits(target), _bits(written))
    return all_finite(written)


def _like(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The target, seen as integers where the source is."""
    return _bits(target) if source.dtype.kind == "u" else target


def _bits(values: np.ndarray) -> np.ndarray:
    return values.view(EXPONENTS[values.dtype.name][0])


def all_finite(values: np.ndarray) -> bool:
    """Whether no value of a float array is infinite or NaN: no exponent has all bits set.

    As integers such values are the largest of their sign, and the largest integer is found several times faster than
    each value is classified; numpy takes bfloat16 one by one.
    """
    unsigned, exponent = EXPONENTS[values.dtype.name]
    bits = values.view(unsigned)
    sign = 1 << (8 * values.itemsize - 1)
    largest, positive = bits.max(initial=0), bits.view(f"i{values.itemsize}").max(initial=0)
    return int(largest) < sign + exponent and int(positive) < exponent


def _staging(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """This thread's staging array, rows padded, kept from tile to tile."""
    width = shape[-1] + PADDING_BYTES // dtype.itemsize
    rows = math.prod(shape[:-1])
    kept = getattr(_OWN, "bytes", None)
    if kept is None or kept.size < rows * width * dtype.itemsize:
        kept = _OWN.bytes = np.empty(rows * width * dtype.itemsize, np.uint8)
    padded = kept[: rows * width * dtype.itemsize].view(dtype).reshape(rows, width)
    return padded[:, : shape[-1]].reshape(shape)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(min(MAX_THREADS, cores))
