"""Tensors of torch's own files (`.pt`, `.pth`, `.bin`), read one at a time and without running anything in them.

Such a file is a pickle, which can run code when loaded. It is opened with torch alone (an optional package) and with
`weights_only=True`, which knows tensors and plain containers and nothing else; what needs more is refused with the way
to convert it. Files in torch's zip format, all since 2020, are mapped, so that opening reads no tensor and reading one
copies that one out; older ones are read whole.

A safetensors file of the same name beside it is taken instead: whoever converted a file has no need of torch.

Cost: opening a zip costs its directory; bytes of a tensor, or of a range of it, when read.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from causeway.ports.files import safetensors_files
from causeway.ports.files.foreign import check_file, parsing
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.zip_files import STORED, check_members

SUFFIXES = (".pt", ".pth", ".bin")
CONVERTED = ".safetensors"
ZIP_HEAD = b"PK\x03\x04"
DTYPES = {
    "torch.float64": np.dtype(np.float64),
    "torch.float32": np.dtype(np.float32),
    "torch.float16": np.dtype(np.float16),
    "torch.bfloat16": np.dtype(ml_dtypes.bfloat16),
    "torch.int64": np.dtype(np.int64),
    "torch.int32": np.dtype(np.int32),
}


def chosen_file(path: Path) -> Path:
    """The file to read in a torch file's place: its conversion to safetensors where that lies beside it."""
    converted = path.with_suffix(CONVERTED)
    return converted if converted.is_file() else path


def open_file(path: Path) -> dict[str, TensorFile]:
    """Every tensor of a plain state dict by name.

    Raises:
        ValueError: as `open_contents`, or something in it is not a tensor.
    """
    contents = open_contents(path)
    if other := sorted(name for name, value in contents.items() if not isinstance(value, TensorFile)):
        raise ValueError(f"{path}: holds {', '.join(other)}, which are not tensors; needs a plain state dict")
    return contents


def open_contents(path: Path) -> dict[str, Any]:
    """What a file holds by name: tensors as `TensorFile`, nested dictionaries likewise, plain values as they are.

    Args:
        path: a torch file, or a safetensors file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: torch is not installed, the file would run code, is damaged or a git-LFS pointer, holds no
            dictionary, or a tensor of a kind not read here.
    """
    check_file(path, missing="download it")
    if path.suffix == CONVERTED:
        return dict(safetensors_files.open_file(path))
    contents = _load(path)
    if not isinstance(contents, Mapping):
        raise ValueError(f"{path}: holds a {type(contents).__name__}; needs a dictionary of tensors")
    return _entries(path, contents, "")


def _conversion(path: Path, trusted: bool = False) -> str:
    return safetensors_files.how_to_convert(path, path.with_suffix(CONVERTED).name, trusted)


def _load(path: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path}: a torch file, and torch is not installed; pip install torch, or {_conversion(path)}"
        ) from None
    # A zip is told by its first bytes: that its directory cannot be read does not make it a file of the older kind.
    with path.open("rb") as file:
        zipped = file.read(len(ZIP_HEAD)) == ZIP_HEAD
    if zipped:
        check_members(path, (STORED,))
    with parsing(path, "torch file"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except Exception as error:
            # Torch puts an essay about its own options before the reason.
            said = " ".join(str(error).split()).split("WeightsUnpickler error: ")[-1]
            refused = "GLOBAL" in said or "REDUCE" in said
            if not refused:
                raise ValueError(f"{type(error).__name__}: {said}" if said else type(error).__name__) from error
    # torch names what it refuses to import or call; bytes that are no pickle at all fail in other words.
    raise ValueError(
        f"{path}: a pickle that holds more than tensors and would run code when loaded, so it is not; if you trust "
        f"it, {_conversion(path, trusted=True)}"
    )


def _entries(path: Path, contents: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    return {str(name): _entry(path, f"{prefix}{name}", value) for name, value in contents.items()}


def _entry(path: Path, name: str, value: Any) -> Any:
    """One value in our terms; `name` is its way from the top, with dots."""
    import torch

    if isinstance(value, Mapping):
        return _entries(path, value, f"{name}.")
    if not isinstance(value, torch.Tensor):
        return value
    layout, code = str(value.layout), str(value.dtype)
    if layout != "torch.strided" or code not in DTYPES:
        raise ValueError(
            f"{path}: tensor {name} is {layout} of {code}; read here are dense ones of {', '.join(DTYPES)}"
        )
    # Strides may show one number as any amount of them; nobody stores weights so.
    if value.numel() * value.element_size() > path.stat().st_size:
        raise ValueError(
            f"{path}: tensor {name} of shape {tuple(value.shape)} has more bytes than the file; download it again"
        )
    # numpy has no bfloat16 of its own: torch hands over the bits, under the strides they have in the file.
    with parsing(f"{path} tensor {name}", "tensor"):
        bits = value.detach().view(torch.int16) if value.dtype == torch.bfloat16 else value.detach()
        values = bits.numpy().view(DTYPES[code])
    return _TorchTensor(path, name, tuple(value.shape), DTYPES[code], partial(np.array, values, order="K"), values)


@dataclasses.dataclass(frozen=True)
class _TorchTensor(TensorFile):
    """A tensor that is mapped, or in memory already; reading copies."""

    values: np.ndarray

    def view(self) -> np.ndarray:
        """The values where they lie."""
        return self.values
