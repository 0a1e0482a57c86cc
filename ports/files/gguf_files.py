"""GGUF files: one file with everything a model needs, its matrices usually quantised.

The header is read by `gguf_header`, which checks it against the file; a tensor is turned into numbers where it is
needed, see `gguf_tensor`.

Cost: one pass over the header, 0.04 s for a vocabulary of 50,000 with its merges.
"""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from causeway.engine import scalars
from causeway.ports.files.foreign import check_file, parsing
from causeway.ports.files.gguf_header import read_header
from causeway.ports.files.gguf_tensor import open_tensor
from causeway.ports.files.mapped_file import MappedFile

SUFFIX = ".gguf"
Value = TypeVar("Value", bool, int, float, str, list)


class GgufFile:
    """A parsed file.

    Attributes:
        path: the file.
        tensors: by their names in the file.
    """

    def __init__(self, path: Path):
        """Parse the header and check that every tensor lies in the file.

        Raises:
            FileNotFoundError: no such file.
            ValueError: damaged, cut short, of the other byte order, or with a tensor of a type that is not read.
        """
        check_file(path)
        with parsing(path, "GGUF file"):
            mapped = MappedFile(path)
            self._values, stored = read_header(mapped)
        self.path = path
        self.tensors = {tensor.name: open_tensor(mapped, tensor) for tensor in stored}

    def value(self, name: str, kind: type[Value]) -> Value | None:
        """A key's value: a truth value, a number, a text, or a list of those; None where the key is not there.

        Raises:
            ValueError: of another kind.
        """
        value = _listed(self._values.get(name))
        if value is None or type(value) is kind:
            return value
        raise ValueError(f"{self.path}: {name} is {scalars.shown(value)}; needs a value of type {kind.__name__}")

    def under(self, prefix: str) -> dict[str, Any]:
        """All keys that begin with a prefix, without it."""
        return {name.removeprefix(prefix): _listed(v) for name, v in self._values.items() if name.startswith(prefix)}


def _listed(value: Any) -> Any:
    """Numbers that are kept in an array as a list."""
    return value.tolist() if isinstance(value, np.ndarray) else value
