"""Tensors of a NumPy archive (.npz), described first and read by ranges.

An .npz file is a zip whose members are .npy files: a short header (dtype, shape, order) and the raw values. Members
stored without compression, as `numpy.savez` writes them, lie in the archive as they are, so a range of them is read
straight from its place in the file. Compressed members (`numpy.savez_compressed`) have no such place; they are
decompressed up to the rows wanted, a block at a time, again for every range.

Nothing is unpickled: arrays of Python objects, which need a pickle, are refused from their header alone. What the
archive says of its members is held to what its bytes allow before any of them is read (`zip_files`).

Cost: one header per member; then the bytes of a range (compressed members: those before it as well).
"""

import dataclasses
import io
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from causeway.ports.files.foreign import parsing
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.zip_files import DEFLATED, STORED, check_members

SUFFIX = ".npy"
BLOCK_BYTES = 1 << 24
# numpy writes headers of 128 bytes; it parses none beyond 10,000.
HEADER_BYTES = 1 << 16
# A zip member begins with a local header of this length, which ends in the lengths of a name and an extra field.
LOCAL_HEADER = 30
DTYPES = (np.float64, np.float32, np.float16, np.int64, np.int32)


@dataclasses.dataclass(frozen=True)
class _Member:
    """One array of an archive.

    Attributes:
        path: the archive. info: the member's entry. shape, fortran: as its header says.
        dtype: as stored (possibly of the other byte order). header: bytes of its .npy header.
    """

    path: Path
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    header: int


def open_npz(path: Path) -> dict[str, TensorFile]:
    """Every array of an archive by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is a git-LFS pointer, damaged, or holds what is not an array of numbers.
    """
    members = check_members(path, (STORED, DEFLATED))
    with zipfile.ZipFile(path) as archive:
        arrays = [_describe(path, archive, info) for info in members]
    return {member.info.filename.removesuffix(SUFFIX): _entry(member) for member in arrays}


def _describe(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    """A member from its header, checked against the bytes it occupies."""
    with parsing(f"{path} array {info.filename}", "array"):
        with archive.open(info) as file:
            head = io.BytesIO(file.read(HEADER_BYTES))
        shape, fortran, dtype = _read_header(head)
    if dtype.hasobject:
        raise ValueError(
            f"{path}: array {info.filename} holds Python objects, which need a pickle; refusing to load it"
        )
    if dtype.newbyteorder("=") not in DTYPES:
        names = ", ".join(np.dtype(d).name for d in DTYPES)
        raise ValueError(f"{path}: array {info.filename} has dtype {dtype}; read here are {names}; convert it first")
    wanted = head.tell() + math.prod(shape) * dtype.itemsize
    if wanted != info.file_size or any(size < 0 for size in shape):
        raise ValueError(
            f"{path}: array {info.filename} of shape {shape} and dtype {dtype} needs {wanted} bytes, "
            f"but the archive holds {info.file_size}; download it again"
        )
    return _Member(path, info, shape, fortran, dtype, head.tell())


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its format is version {version}; read here are 1.0 and 2.0")
    return readers[version](file)


def _entry(member: _Member) -> TensorFile:
    name, dtype = member.info.filename.removesuffix(SUFFIX), member.dtype.newbyteorder("=")
    return _ArrayFile(member.path, name, member.shape, dtype, lambda: _read(member, None), member)


@dataclasses.dataclass(frozen=True)
class _ArrayFile(TensorFile):
    """An array of an archive."""

    member: _Member

    def read_slice(self, start: int, stop: int, axis: int = 0) -> np.ndarray:
        """Entries [start, stop) of an axis."""
        return _read(self.member, (slice(None),) * axis + (slice(start, stop),))


def _read(member: _Member, index: tuple[slice, ...] | None) -> np.ndarray:
    """A copy of the part that an index names, None for all, in this machine's byte order."""
    compressed = member.info.compress_type != zipfile.ZIP_STORED
    # With the axes reversed an array in Fortran's order is one in C's.
    shape = member.shape[::-1] if member.fortran else member.shape
    where = (slice(None),) * len(shape) if index is None else index + (slice(None),) * (len(shape) - len(index))
    where = where[::-1] if member.fortran else where
    with parsing(f"{member.path} array {member.info.filename}", "array"):
        values = _decompress(member, shape, where) if compressed else _map(member, shape)[where]
        return np.array(values.T if member.fortran else values, member.dtype.newbyteorder("="))


def _map(member: _Member, shape: tuple[int, ...]) -> np.ndarray:
    """The member where it lies in the archive."""
    with member.path.open("rb") as file:
        file.seek(member.info.header_offset)
        local = file.read(LOCAL_HEADER)
    offset = member.info.header_offset + LOCAL_HEADER + sum(struct.unpack("<HH", local[-4:])) + member.header
    if math.prod(shape) == 0:
        return np.empty(shape, member.dtype)  # nothing cannot be mapped
    return np.memmap(member.path, member.dtype, mode="r", offset=offset, shape=shape)


def _decompress(member: _Member, shape: tuple[int, ...], where: tuple[slice, ...]) -> np.ndarray:
    """The part wanted of a compressed member, never more of the rest in memory than a block."""
    if not shape:
        return np.concatenate(list(_rows(member, (1,), 1)))[0]
    start, stop, _ = where[0].indices(shape[0])
    step = max(1, BLOCK_BYTES // max(1, math.prod(shape[1:]) * member.dtype.itemsize))
    parts = [np.empty((0, *shape[1:]), member.dtype)[(slice(None), *where[1:])]]
    for first, block in zip(range(0, stop, step), _rows(member, shape, step), strict=False):
        parts.append(block[max(start - first, 0) : max(stop - first, 0)][(slice(None), *where[1:])].copy())
    return np.concatenate(parts)


def _rows(member: _Member, shape: tuple[int, ...], step: int) -> Iterator[np.ndarray]:
    """Blocks of `step` rows, in order."""
    width = math.prod(shape[1:])
    with zipfile.ZipFile(member.path) as archive, archive.open(member.info) as file:
        file.seek(member.header)
        for first in range(0, shape[0], step):
            rows = min(step, shape[0] - first)
            values = np.frombuffer(file.read(rows * width * member.dtype.itemsize), member.dtype)
            yield values.reshape(rows, *shape[1:])
