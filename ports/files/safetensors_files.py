"""Tensors of a directory of safetensors files, read one at a time.

A directory holds one file (`model.safetensors`) or many with an index (`model.safetensors.index.json`: a map from
tensor name to file). Opening parses and checks every header (lengths, offsets, overlaps, dtypes: done by the
safetensors library, whose complaints are turned into one line that names the file) and reads no tensor. The file is
then mapped: a tensor is a view of it, and bytes come from the disk when they are looked at. `read` and `read_slice`
copy out what is asked for and nothing else.

Files that only look like weights are told apart before they are parsed: git-LFS pointers, which stand where a
download was skipped, and pickles (`.bin`, `.pt`, `.pth`), which run code when loaded and are never opened.

Cost: one header per file; bytes of a tensor, or of a range of it, when read. Mapped pages count as memory of the
process until they are let go; each tensor is let go once it was read.
"""

import contextlib
import dataclasses
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.foreign import check_file, parsing
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.mapped_file import MappedFile
from causeway.ports.files.tensor_copy import copy_finite

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
MAPPED_BYTES = 1 << 24
DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
}


@dataclasses.dataclass(frozen=True)
class TensorFile:
    """One tensor on disk: where it is, what it is, and how to get it.

    Attributes:
        file: the file. name: the tensor's name in it. shape, dtype: from the checked header.
        read: copies the tensor into memory.
    """

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def view(self) -> np.ndarray:
        """The values, not to be written to; where the file can be mapped, nothing is read before it is looked at."""
        return self.read()

    def read_slice(self, start: int, stop: int, axis: int = 0) -> np.ndarray:
        """A copy of entries [start, stop) of an axis."""
        values = np.array(self.view()[(slice(None),) * axis + (slice(start, stop),)], order="C")
        self.release()
        return values

    def copy_into(self, target: np.ndarray, part: Callable[[np.ndarray], np.ndarray]) -> bool:
        """`target[...] = part(values)`, cast to the target's dtype.

        Args:
            part: makes a view of an array of the tensor's shape, which has the target's.

        Returns:
            Whether every value is finite in the target's dtype; where not, what the target holds is of no use.
        """
        finite = copy_finite(part(self.view()), target)
        self.release()
        return finite

    def release(self) -> None:
        """Let go of memory that looking at the values took; they can be looked at again."""


class _SafetensorsFile(MappedFile):
    """A mapped safetensors file, its header, and where its tensors begin."""

    def __init__(self, path: Path):
        super().__init__(path)
        (length,) = struct.unpack_from("<Q", self.bytes)
        self.header = parse_json(self.bytes[8 : 8 + length].decode(), str(path))
        self.data = 8 + length


@dataclasses.dataclass(frozen=True)
class _MappedTensor(TensorFile):
    """A tensor of a mapped file."""

    mapped: _SafetensorsFile

    def view(self) -> np.ndarray:
        """The values where they lie in the file."""
        self.mapped.check_size()
        return np.ndarray(self.shape, self.dtype, buffer=self.mapped.bytes, offset=self._extent[0])

    def read_slice(self, start: int, stop: int, axis: int = 0) -> np.ndarray:
        """A copy of entries [start, stop) of an axis.

        The system maps pages around those looked at, so a narrow slice of every row maps all of the tensor; what was
        copied is let go of every few rows.
        """
        part = self.view()[(slice(None),) * axis + (slice(start, stop),)]
        values = np.empty(part.shape, self.dtype)
        rows = max(1, MAPPED_BYTES * self.shape[0] // max(1, self._extent[1] - self._extent[0]))
        for first in range(0, len(part), rows):
            values[first : first + rows] = part[first : first + rows]
            self.release()
        return values

    def release(self) -> None:
        """Unmap the pages of the tensor, less those it shares with its neighbours."""
        self.mapped.release(*self._extent)

    @property
    def _extent(self) -> tuple[int, int]:
        """Its first byte in the file and the one after its last."""
        start, stop = self.mapped.header[self.name]["data_offsets"]
        return self.mapped.data + start, self.mapped.data + stop


def open_directory(directory: Path) -> dict[str, TensorFile]:
    """Every tensor of a directory by name.

    Args:
        directory: holds one file of weights, or an index and its shards.

    Raises:
        FileNotFoundError: no safetensors file (a pickle beside its place is named, with how to convert it).
        ValueError: a file is damaged or a pointer, or the index and its shards disagree.
    """
    index = directory / INDEX
    if (directory / WEIGHTS).is_file():
        return open_file(directory / WEIGHTS)
    if index.is_file():
        return _open_shards(index)
    raise FileNotFoundError(_nothing_to_open(directory))


def open_file(path: Path) -> dict[str, TensorFile]:
    """Every tensor of one safetensors file by name.

    Raises:
        ValueError: the file is a pickle, a git-LFS pointer, truncated, inconsistent, or of a dtype not read here.
    """
    if path.suffix in PICKLES:
        target = path.with_suffix(".safetensors").name
        raise ValueError(f"{path}: a pickle, which can run code when loaded; {how_to_convert(path, target)}")
    check_file(path, missing="download it")
    with parsing(path, "safetensors file"):
        handle = safe_open(path, framework="numpy")
    mapped = _SafetensorsFile(path)
    return {name: _entry(mapped, handle, name) for name in handle.keys()}  # noqa: SIM118


@contextlib.contextmanager
def changed_in_place(path: Path, name: str) -> Iterator[np.ndarray]:
    """A tensor's values where they lie in its file, to be written to: every other byte of the file stays as it is.

    Raises:
        ValueError: as `open_file`.
    """
    tensor, mapped = open_file(path)[name], _SafetensorsFile(path)
    begin = mapped.data + mapped.header[name]["data_offsets"][0]
    values = np.memmap(path, tensor.dtype, "r+", begin, tensor.shape)
    yield values
    values.flush()


def weight_files(tensors: Mapping[str, TensorFile]) -> list[Path]:
    """The files that hold a set of tensors, each once, by name."""
    return sorted({tensor.file for tensor in tensors.values()})


def _entry(mapped: _SafetensorsFile, handle: safe_open, name: str) -> TensorFile:
    view, path = handle.get_slice(name), mapped.path
    code, shape = view.get_dtype(), tuple(view.get_shape())
    if code not in DTYPES:
        raise ValueError(f"{path}: tensor {name} has dtype {code}; read here are {', '.join(DTYPES)}; convert it first")
    tensor = _MappedTensor(path, name, shape, DTYPES[code], lambda: _copied(tensor), mapped)
    return tensor


def _copied(tensor: TensorFile) -> np.ndarray:
    """All of a tensor."""
    values = np.array(tensor.view(), order="C")
    tensor.release()
    return values


def how_to_convert(path: Path, target: str, trusted: bool = False) -> str:
    """The way from a torch file to a safetensors file, for error lines.

    Args:
        path: the torch file. target: name of the safetensors file, in the same folder.
        trusted: the file may run code.
    """
    # Tied weights share memory, which safetensors refuses: hence the clones.
    return (
        "convert it where torch is installed: safetensors.torch.save_file({k: v.clone().contiguous() for k, v in "
        f"torch.load({path.name!r}, weights_only={not trusted}).items() if torch.is_tensor(v)}}, {target!r}), "
        "and put it beside the file"
    )


def _nothing_to_open(directory: Path) -> str:
    names = sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []
    # Optimizers and training arguments are pickles too.
    pickles = sorted((n for n in names if Path(n).suffix in PICKLES), key=lambda n: not n.startswith("pytorch_model"))
    wanted = f"{WEIGHTS} or {INDEX}"
    if not pickles:
        return f"{directory}: no {wanted}; the directory holds {', '.join(names) or 'nothing'}"
    first = directory / pickles[0]
    if "-of-" in first.name:
        how = "convert all parts with transformers: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)"
    else:
        how = how_to_convert(first, WEIGHTS)
    return f"{directory}: no {wanted}, only the pickle {first.name}; {how}"


def _open_shards(index: Path) -> dict[str, TensorFile]:
    names = read_index(index)
    shards: dict[str, dict[str, TensorFile]] = {}
    for shard in sorted(set(names.values())):
        path = index.parent / shard
        if not path.is_file():
            raise FileNotFoundError(f"{index}: names the shard {shard}, which is not there; download it")
        shards[shard] = open_file(path)
    for tensor, shard in names.items():
        if tensor not in shards[shard]:
            raise ValueError(f"{index}: says {tensor} is in {shard}, which does not hold it; download both again")
    extra = [t for shard, tensors in shards.items() for t in tensors if names.get(t) != shard]
    if extra:
        raise ValueError(f"{index}: does not list tensors its shards hold: {', '.join(sorted(extra)[:8])}")
    return {tensor: shards[shard][tensor] for tensor, shard in names.items()}


def read_index(index: Path) -> dict[str, str]:
    """Tensor name -> shard name, every shard a plain file name beside the index.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no index, or one that names files elsewhere.
    """
    names = Fields(str(index), read_json(index)).take("weight_map", dict)
    if not names:
        raise ValueError(f"{index}: its `weight_map` is empty; download it again")
    for shard in names.values():
        if not isinstance(shard, str):
            raise ValueError(f"{index}: names the shard {str(shard)[:40]}; needs the name of a file; download it again")
    for shard in set(names.values()):
        # An index is outside input: a name with a folder in it could reach any file of the machine.
        if PurePosixPath(shard).name != shard or "\\" in shard or "\0" in shard or shard in {"", ".", ".."}:
            raise ValueError(f"{index}: the shard name {shard!r} leaves the directory; refusing to follow it")
    return names


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file, errors of the disk as Python's own: the library has the system's number in its text alone.

    Raises:
        OSError: the disk is full, or the file may not be written.
    """
    try:
        save_file(dict(tensors), path, metadata=dict(metadata) if metadata else None)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
