"""The header of a GGUF file: keys with values, and what and where every tensor is.

    magic, version, number of tensors, number of keys
    keys      name, type of the value, value; a list is the type of its entries, their number, the entries
    tensors   name, number of axes, axes (inner first), type of its numbers, place after the header
    (padding to `general.alignment`, then the numbers)

The `gguf` library has a reader too. It makes several arrays of every text of a vocabulary, 2.5 CPU-seconds for
50,000 tokens where this one takes 0.04, and takes numbers beyond the end of a file for empty, so that a list said to
have 2^60 of them fills the memory. Here nothing is read beyond the end, and nothing made is larger than what it is
made from but for Python's own cost of an object. Types and sizes of blocks are the library's.

Cost: half a microsecond a text.
"""

import dataclasses
import math
import struct
from typing import Any

import numpy as np

from causeway.engine import scalars
from causeway.ports.files.mapped_file import MappedFile

MAGIC, VERSIONS = b"GGUF", (2, 3)
ALIGNMENT, ALIGNMENT_KEY = 32, "general.alignment"
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
# Of a tensor in ggml; of keys the format allows 65,535 letters, and nobody uses more than a line.
MAX_AXES, MAX_NAME, MAX_KEY = 4, 63, 255
LENGTH = struct.Struct("<Q")


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is and what.

    Attributes:
        name: in the file. shape: in the order of numpy, outputs before inputs.
        kind: the type of its numbers, a `gguf.GGMLQuantizationType`. start, size: its bytes in the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: Any
    start: int
    size: int


def read_header(file: MappedFile) -> tuple[dict[str, Any], list[StoredTensor]]:
    """Values by key (lists of numbers as arrays), and the tensors in their order.

    Raises:
        ValueError: not such a header, or one that the rest of the file does not bear out.
    """
    cursor = _Cursor(file)
    if cursor.take(4) != MAGIC:
        raise ValueError("does not begin with GGUF")
    version = cursor.number("I")
    if int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS:
        raise ValueError("written for machines of the other byte order; convert it again on this kind")
    if version not in VERSIONS:
        raise ValueError(f"of version {version}; read here are {', '.join(map(str, VERSIONS))}")
    tensors, keys = cursor.number("Q"), cursor.number("Q")
    values: dict[str, Any] = {}
    for _ in range(keys):
        name = cursor.name(MAX_KEY)
        if name in values:
            raise ValueError(f"the key {name} is there twice")
        values[name] = cursor.value(cursor.number("I"))
    described = [_described(cursor) for _ in range(tensors)]
    alignment = _alignment(values)
    return values, _placed(described, -(-cursor.at // alignment) * alignment, len(file.bytes))


class _Cursor:
    """A place in the file, moved on by what is read there."""

    def __init__(self, file: MappedFile):
        self.bytes, self.at, self.end = file.bytes, 0, len(file.bytes)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        start = self._step(size)
        return self.bytes[start : start + size]

    def number(self, code: str) -> Any:
        """A number of the type that `struct` has under a letter."""
        return struct.unpack_from(f"<{code}", self.bytes, self._step(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        """A text after its length."""
        return self.take(self.number("Q")).decode()

    def name(self, most: int) -> str:
        """A text that can stand in a line: error lines name keys and tensors."""
        name = self.text()
        if len(name) > most or not name.isprintable():
            raise ValueError(f"a name is {scalars.shown(name)}; needs at most {most} printable letters")
        return name

    def value(self, kind: int) -> Any:
        """A value of that type."""
        if kind == LIST:
            kind, count = self.number("I"), self.number("Q")
            return self._texts(count) if kind == TEXT else self._numbers(_letter(kind), count)
        return self.text() if kind == TEXT else self.number(_letter(kind))

    def _step(self, size: int) -> int:
        start = self.at
        if size > self.end - start:
            raise ValueError(f"ends within its header: needs {size} bytes after byte {start}")
        self.at += size
        return start

    def _numbers(self, letter: str, count: int) -> np.ndarray:
        dtype = np.dtype(f"<{letter}")
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)

    def _texts(self, count: int) -> list[str]:
        """Texts one after the other: a vocabulary, so without a call for each."""
        content, at, end, length, texts = self.bytes, self.at, self.end, LENGTH.unpack_from, []
        for _ in range(count):
            start = at + LENGTH.size
            at = start + length(content, at)[0] if start <= end else start
            if at > end:
                raise ValueError(f"ends within a list said to have {count} texts")
            texts.append(content[start:at])
        self.at = at
        return [text.decode() for text in texts]


def _letter(kind: int) -> str:
    if kind not in NUMBERS:
        raise ValueError(f"a value of type {kind}, which there is not")
    return NUMBERS[kind]


def _alignment(values: dict[str, Any]) -> int:
    alignment = values.get(ALIGNMENT_KEY, ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"{ALIGNMENT_KEY} is {scalars.shown(alignment)}; needs a power of two")
    return alignment


def _described(cursor: _Cursor) -> StoredTensor:
    """A tensor as the header has it: its place is counted from the end of the header."""
    import gguf

    name, axes = cursor.name(MAX_NAME), cursor.number("I")
    if not 1 <= axes <= MAX_AXES:
        raise ValueError(f"tensor {name} has {axes} axes; needs 1 to {MAX_AXES}")
    shape = tuple(cursor.number("Q") for _ in range(axes))[::-1]
    number, place = cursor.number("I"), cursor.number("Q")
    if number not in set(gguf.GGMLQuantizationType):
        raise ValueError(f"tensor {name} is of type {number}, which the gguf library does not know")
    kind = gguf.GGMLQuantizationType(number)
    entries, size = gguf.GGML_QUANT_SIZES[kind]
    if not all(shape) or shape[-1] % entries:
        raise ValueError(f"tensor {name} of type {kind.name} has the shape {shape}")
    return StoredTensor(name, shape, kind, place, math.prod(shape) // entries * size)


def _placed(described: list[StoredTensor], start: int, end: int) -> list[StoredTensor]:
    """The tensors where they are in the file, each once, none in the place of another."""
    tensors = [dataclasses.replace(tensor, start=start + tensor.start) for tensor in described]
    reached, before, names = start, "", set()
    for tensor in sorted(tensors, key=lambda tensor: tensor.start):
        if tensor.start < reached:
            raise ValueError(f"tensors {before} and {tensor.name} overlap")
        if tensor.start + tensor.size > end:
            raise ValueError(f"tensor {tensor.name} ends at byte {tensor.start + tensor.size}, beyond the file")
        if tensor.name in names:
            raise ValueError(f"tensor {tensor.name} is there twice")
        reached, before = tensor.start + tensor.size, tensor.name
        names.add(tensor.name)
    return tensors
