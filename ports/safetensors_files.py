"""Tensors of a directory of safetensors files, read one at a time.

A directory holds one file (`model.safetensors`) or many with an index (`model.safetensors.index.json`: a map from
tensor name to file). Opening parses and checks every header (lengths, offsets, overlaps, dtypes: done by the
safetensors library, whose complaints are turned into one line that names the file) and reads no tensor; `read` then
copies one tensor out of the mapped file, so memory never holds more than the tensor asked for.

Files that only look like weights are told apart before they are parsed: git-LFS pointers, which stand where a
download was skipped, and pickles (`.bin`, `.pt`, `.pth`), which run code when loaded and are never opened.

Cost: one header per file; bytes of a tensor when it is read.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LFS_HEAD = b"version https://git-lfs"
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
        file: the safetensors file. name: the tensor's name in it. shape, dtype: from the checked header.
        read: copies the tensor into memory.
    """

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


def open_directory(directory: Path, weights: str = WEIGHTS) -> dict[str, TensorFile]:
    """Every tensor of a directory by name.

    Args:
        directory: holds `weights` or, for the default name, an index and its shards.
        weights: name of the single file.

    Raises:
        FileNotFoundError: no safetensors file (a pickle beside its place is named, with how to convert it).
        ValueError: a file is damaged or a pointer, or the index and its shards disagree.
    """
    index = directory / INDEX
    if (directory / weights).is_file():
        return open_file(directory / weights)
    if weights == WEIGHTS and index.is_file():
        return _open_shards(index)
    raise FileNotFoundError(_nothing_to_open(directory, weights))


def open_file(path: Path) -> dict[str, TensorFile]:
    """Every tensor of one safetensors file by name.

    Raises:
        ValueError: the file is a pickle, a git-LFS pointer, truncated, inconsistent, or of a dtype not read here.
    """
    _refuse_lookalikes(path)
    try:
        handle = safe_open(path, framework="numpy")
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise ValueError(
            f"{path}: not a whole safetensors file ({reason}; {path.stat().st_size} bytes on disk); download it again"
        ) from None
    return {name: _entry(path, handle, name) for name in handle.keys()}  # noqa: SIM118


def weight_files(tensors: Mapping[str, TensorFile]) -> list[Path]:
    """The files behind a set of tensors, each once, by name."""
    return sorted({tensor.file for tensor in tensors.values()})


def _entry(path: Path, handle: safe_open, name: str) -> TensorFile:
    view = handle.get_slice(name)
    code = view.get_dtype()
    if code not in DTYPES:
        raise ValueError(f"{path}: tensor {name} has dtype {code}; read here are {', '.join(DTYPES)}; convert it first")
    return TensorFile(path, name, tuple(view.get_shape()), DTYPES[code], lambda: handle.get_tensor(name))


def _refuse_lookalikes(path: Path) -> None:
    if path.suffix in PICKLES:
        raise ValueError(f"{path}: a pickle, which can run code when loaded; {_how_to_convert(path)}")
    with path.open("rb") as file:
        head = file.read(len(LFS_HEAD))
    if head == LFS_HEAD:
        raise ValueError(f"{path}: a git-LFS pointer, not the file itself; run `git lfs pull` in its repository")


def _how_to_convert(path: Path) -> str:
    return (
        f"convert it with torch: safetensors.torch.save_file(torch.load({path.name!r}, weights_only=True), "
        f"{path.with_suffix('.safetensors').name!r})"
    )


def _nothing_to_open(directory: Path, weights: str) -> str:
    names = sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    wanted = f"{weights} or {INDEX}" if weights == WEIGHTS else weights
    if pickles:
        return f"{directory}: no {wanted}, only the pickle {pickles[0]}; {_how_to_convert(directory / pickles[0])}"
    return f"{directory}: no {wanted}; the directory holds {', '.join(names) or 'nothing'}"


def _open_shards(index: Path) -> dict[str, TensorFile]:
    names = _read_index(index)
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


def _read_index(index: Path) -> dict[str, str]:
    """Tensor name -> shard name, every shard a plain file name beside the index."""
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        entries = {str(tensor): str(shard) for tensor, shard in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: not an index with a `weight_map` ({error}); download it again") from None
    for shard in set(entries.values()):
        # An index is outside input: a name with a folder in it could reach any file of the machine.
        if PurePosixPath(shard).name != shard or "\\" in shard or shard in {"", ".", ".."}:
            raise ValueError(f"{index}: the shard name {shard!r} leaves the directory; refusing to follow it")
    return entries
