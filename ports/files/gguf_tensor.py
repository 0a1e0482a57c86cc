"""A tensor of a GGUF file, usually of quantised numbers: turned into numbers block by block where they are needed.

Blocks lie along rows, so rows can be taken in any order before they are turned into numbers. `copy_into` asks where a
row of the file is in the target, takes as many rows as make a tile that fits in a core's cache, has the `gguf` library
dequantise them, and copies the tile to its place: no array of a tensor's size is made, a shard reads its own rows only,
and rows that the converter put in another order cost nothing.

The library dequantises 16 rows at a time, mostly in Python. Rows of a tile are given to it as one: 0.23 CPU-seconds for
135 million numbers of 4 bits instead of 0.85.

Cost: one read of the blocks, one write of the target; a few tiles (512 KiB) a thread.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from jaxtyping import Int

from causeway.ports.files.gguf_header import StoredTensor
from causeway.ports.files.mapped_file import MappedFile
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_copy import copy_finite

# Types that are numbers already; others become float32.
PLAIN: dict[str, np.dtype] = {
    "F64": np.dtype(np.float64), "F32": np.dtype(np.float32), "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}  # fmt: skip
TILE = 1 << 17


@dataclasses.dataclass(frozen=True)
class GgufTensor(TensorFile):
    """One tensor of a GGUF file.

    Attributes:
        stored, mapped: where it is.
        order: the row of the file that entry i of the first axis is; None where they are in their order.
        turned: whether the shape is that of the file with its axes in reverse.
        shift: added to every number.
    """

    stored: StoredTensor
    mapped: MappedFile
    order: np.ndarray | None = None
    turned: bool = False
    shift: float = 0.0

    @property
    def quantisation(self) -> str:
        """The name of its type, such as Q4_K or F16."""
        return self.stored.kind.name

    def reordered(self, order: Int[np.ndarray, " rows"]) -> "GgufTensor":
        """The same with the file's entry `order[i]` of the first axis as entry i."""
        return self._changed(order=order)

    def transposed(self) -> "GgufTensor":
        """The same with its axes in reverse."""
        return self._changed(shape=self.shape[::-1], turned=not self.turned)

    def shifted(self, by: float) -> "GgufTensor":
        """The same with a number added to each, in float32."""
        return self._changed(shift=by, dtype=PLAIN["F32"])

    def view(self) -> np.ndarray:
        """The values where they lie in the file, if they are numbers there in this order."""
        if not self._lies_as_it_is():
            return self.read()
        self.mapped.check_size()
        values = np.ndarray(self.stored.shape, self.dtype, buffer=self.mapped.bytes, offset=self.stored.start)
        return values.T if self.turned else values

    def copy_into(self, target: np.ndarray, part: Callable[[np.ndarray], np.ndarray]) -> bool:
        """As any tensor's, tile by tile."""
        if self._lies_as_it_is():
            return super().copy_into(target, part)
        rows, columns = (part(places) for places in self._places())
        along = [axis for axis in range(rows.ndim) if rows.strides[axis]]
        across = [axis for axis in range(rows.ndim) if axis not in along]
        rows, columns = _along(rows, along), _along(columns, across)
        step, finite = max(1, TILE // self.stored.shape[-1]), True
        for own, places, tiles in _evenly(rows, columns, target.transpose(along + across)):
            for start in range(0, own.size, step):
                values = self._rows(own[start : start + step], places)
                finite = copy_finite(values, tiles[start : start + step]) and finite
        self.release()
        return finite

    def release(self) -> None:
        """Unmap its blocks."""
        self.mapped.release(self.stored.start, self.stored.start + self.stored.size)

    def _lies_as_it_is(self) -> bool:
        """Whether the file has numbers in this order, so that it need not be taken apart."""
        return self.quantisation in PLAIN and self.order is None and not self.shift

    def _changed(self, **changes: Any) -> "GgufTensor":
        tensor: GgufTensor = dataclasses.replace(self, **changes, read=lambda: _all(tensor))
        return tensor

    def _rows(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Those rows of the file as numbers, and of them those columns."""
        import gguf

        self.mapped.check_size()
        count, width = math.prod(self.stored.shape[:-1]), self.stored.shape[-1]
        blocks = np.ndarray((count, self.stored.size // count), np.uint8, self.mapped.bytes, self.stored.start)[rows]
        with np.errstate(all="ignore"):  # who copies the values looks whether they are finite
            if self.quantisation in PLAIN:
                values = blocks.view(PLAIN[self.quantisation])
            else:
                values = gguf.dequantize(blocks.reshape(1, -1), self.stored.kind).reshape(-1, width)
            if not np.array_equal(columns, np.arange(width)):
                values = values[:, columns]
            return values + np.float32(self.shift) if self.shift else values

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """For every entry its row in the file, and its place in the row; neither takes memory of the tensor's size."""
        *lead, width = self.stored.shape
        rows, columns = np.arange(math.prod(lead)).reshape(*lead, 1), np.arange(width)
        if self.order is not None:
            rows, columns = (rows[self.order], columns) if lead else (rows, columns[self.order])
        whole = (np.broadcast_to(numbers, self.stored.shape) for numbers in (rows, columns))
        rows, columns = (numbers.T if self.turned else numbers for numbers in whole)
        return rows, columns


def open_tensor(mapped: MappedFile, stored: StoredTensor) -> GgufTensor:
    """A tensor as it is in the file.

    Raises:
        ValueError: of a type that the library cannot turn into numbers.
    """
    _check_type(mapped.path, stored)
    dtype = PLAIN.get(stored.kind.name, PLAIN["F32"])
    tensor: GgufTensor = GgufTensor(mapped.path, stored.name, stored.shape, dtype, lambda: _all(tensor), stored, mapped)
    return tensor


def _all(tensor: GgufTensor) -> np.ndarray:
    values = np.empty(tensor.shape, tensor.dtype)
    tensor.copy_into(values, lambda places: places)
    return values


def _along(places: np.ndarray, axes: list[int]) -> np.ndarray:
    """What changes along some axes, in their order; along the others nothing does."""
    return places[tuple(slice(None) if axis in axes else 0 for axis in range(places.ndim))]


def _evenly(
    rows: np.ndarray, columns: np.ndarray, target: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows [n], columns [m] and where they go [n, m], in as few pieces as lie there in even steps: heads of a group."""
    axes = list(range(target.ndim))
    if not _even(_along(target, axes[rows.ndim :])):
        for own, place in zip(columns, np.moveaxis(target, rows.ndim, 0), strict=True):
            yield from _evenly(rows, own, place)
    elif not _even(_along(target, axes[: rows.ndim])):
        for own, place in zip(rows, target, strict=True):
            yield from _evenly(own, columns, place)
    else:
        yield rows.reshape(-1), columns.reshape(-1), target.reshape(rows.size, columns.size, copy=False)


def _even(places: np.ndarray) -> bool:
    """Whether entries follow each other in steps of one size."""
    try:
        np.asarray(places).reshape(-1, copy=False)
    except ValueError:
        return False
    return True


def _check_type(path: Path, stored: StoredTensor) -> None:
    """Refuse a type whose blocks the library cannot turn into numbers, by trying one block."""
    import gguf

    kind = stored.kind
    if kind.name in PLAIN:
        return
    block = np.zeros((1, gguf.GGML_QUANT_SIZES[kind][1]), np.uint8)
    try:
        gguf.dequantize(block, kind)
    except NotImplementedError:
        raise ValueError(
            f"{path}: tensor {stored.name} is of type {kind.name}, which the gguf library does not turn into numbers; "
            "use a file of another quantisation (Q8_0, Q4_K_M, F16, ...)"
        ) from None
