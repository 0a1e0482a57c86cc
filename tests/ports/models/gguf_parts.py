"""A GGUF file taken into its parts and put together again, with any of them changed: what no writer would write."""

import dataclasses
import struct

import numpy as np

from causeway.ports.files.gguf_header import read_header
from causeway.ports.files.mapped_file import MappedFile

TRUTH, TEXT, LIST = 7, 8, 9


@dataclasses.dataclass
class Parts:
    """Keys with values (`bytes` are a value's own bytes), tensors as (name, axes, type, place), their numbers, and the
    numbers of tensors and keys that the header gives where they are not the true ones."""

    keys: list
    tensors: list
    data: bytes
    counts: tuple | None = None

    def changed(self, **changes):
        return dataclasses.replace(self, **changes)

    def with_key(self, name, value):
        """With that key in the place it has, or as the last."""
        kept = [(key, value if key == name else old) for key, old in self.keys]
        return self.changed(keys=kept if name in dict(self.keys) else [*kept, (name, value)])

    def with_tensor(self, number, tensor):
        return self.changed(tensors=[*self.tensors[:number], tensor, *self.tensors[number + 1 :]])

    def header(self):
        content = b"GGUF" + struct.pack("<IQQ", 3, *(self.counts or (len(self.tensors), len(self.keys))))
        content += b"".join(text(key) + value(held) for key, held in self.keys)
        for name, axes, kind, place in self.tensors:
            content += text(name) + struct.pack(f"<I{len(axes)}QIQ", len(axes), *axes, kind, place)
        return content

    def content(self):
        header = self.header()
        return header + bytes(-len(header) % 32) + self.data


def read_parts(path):
    values, tensors = read_header(MappedFile(path))
    start = min(tensor.start for tensor in tensors)
    found = [(tensor.name, tensor.shape[::-1], int(tensor.kind), tensor.start - start) for tensor in tensors]
    return Parts(list(values.items()), found, path.read_bytes()[start:])


def text(held):
    held = held if isinstance(held, bytes) else held.encode()
    return struct.pack("<Q", len(held)) + held


def value(held):
    """A value after its type."""
    if isinstance(held, bytes):
        return held
    if isinstance(held, np.ndarray | list):
        entries = [value(entry) for entry in (held.tolist() if isinstance(held, np.ndarray) else held)]
        kind = entries[0][:4] if entries else struct.pack("<I", 5)
        return struct.pack("<I", LIST) + kind + struct.pack("<Q", len(entries)) + b"".join(e[4:] for e in entries)
    if isinstance(held, str):
        return struct.pack("<I", TEXT) + text(held)
    if isinstance(held, bool):
        return struct.pack("<I?", TRUTH, held)
    if isinstance(held, float):
        return struct.pack("<If", 6, held)
    return struct.pack("<Iq", 11, held) if held < 1 << 63 else struct.pack("<IQ", 10, held)
