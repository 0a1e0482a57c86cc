"""GGUF files: one file with everything a model needs, its matrices usually quantised.

A header holds keys with values and the name, shape, type and place of every tensor; the `gguf` library parses it,
maps the file, and turns blocks of any quantisation that it knows into float32. A tensor is dequantised when it is
read, one at a time. Its shape is given here in the order of numpy, outputs before inputs.

Cost: one pass over the header, 2 s for a vocabulary of 50,000 with its merges; 0.5 GB of float32 a second and core
to dequantise.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from causeway.ports.files.foreign import check_file, parsing
from causeway.ports.files.safetensors_files import TensorFile

SUFFIX = ".gguf"
# Types that are numbers already.
PLAIN: dict[str, np.dtype] = {"F64": np.dtype(np.float64), "F32": np.dtype(np.float32), "F16": np.dtype(np.float16)}


@dataclasses.dataclass(frozen=True)
class GgufTensor(TensorFile):
    """One tensor of a GGUF file; `quantisation` is the name of its type, such as Q4_K or F16."""

    quantisation: str
    bytes: int


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
        import gguf

        check_file(path)
        with parsing(path, "GGUF file"):
            self._reader = gguf.GGUFReader(path)
            self._values = {name: field.contents() for name, field in self._reader.fields.items()}
        if self._reader.byte_order != "I":
            raise ValueError(f"{path}: written for machines of the other byte order; convert it again on this kind")
        self.path = path
        self._check_extents()
        self.tensors = {tensor.name: self._tensor(tensor) for tensor in self._reader.tensors}

    def value(self, name: str, default: Any = None) -> Any:
        """A key's value: a number, a text, or a list of either."""
        return self._values.get(name, default)

    def under(self, prefix: str) -> dict[str, Any]:
        """All keys that begin with a prefix, without it."""
        return {name.removeprefix(prefix): v for name, v in self._values.items() if name.startswith(prefix)}

    def _check_extents(self) -> None:
        """Refuse tensors that lie over one another: the header is of another file."""
        extents = sorted((t.data_offset, t.data_offset + t.n_bytes, t.name) for t in self._reader.tensors)
        for (_, stop, name), (start, _, other) in itertools.pairwise(extents):
            if start < stop:
                raise ValueError(f"{self.path}: tensors {name} and {other} overlap; the file is damaged, get it again")

    def _tensor(self, tensor: Any) -> GgufTensor:
        kind, shape = tensor.tensor_type.name, tuple(int(n) for n in reversed(tensor.shape))
        _check_type(self.path, tensor)
        return GgufTensor(
            self.path, tensor.name, shape, PLAIN.get(kind, PLAIN["F32"]), lambda: _dequantised(tensor, shape),
            quantisation=kind, bytes=int(tensor.n_bytes),
        )  # fmt: skip


def _dequantised(tensor: Any, shape: tuple[int, ...]) -> np.ndarray:
    import gguf

    if tensor.tensor_type.name in PLAIN:
        return np.array(tensor.data).reshape(shape)
    if tensor.tensor_type == gguf.GGMLQuantizationType.BF16:
        return np.array(tensor.data).view(ml_dtypes.bfloat16).astype(np.float32).reshape(shape)
    return gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def _check_type(path: Path, tensor: Any) -> None:
    """Refuse a type whose blocks the library cannot turn into numbers, by trying one block."""
    import gguf

    kind = tensor.tensor_type
    if kind.name in PLAIN:
        return
    block = np.zeros((1, gguf.GGML_QUANT_SIZES[kind][1]), np.uint8)
    try:
        gguf.dequantize(block, kind)
    except NotImplementedError:
        raise ValueError(
            f"{path}: tensor {tensor.name} is of type {kind.name}, which the gguf library does not turn into numbers; "
            "use a file of another quantisation (Q8_0, Q4_K_M, F16, ...)"
        ) from None
