"""What every tensor has to pass on its way in or out: present, expected, of the right shape, finite.

Converters fail closed. A tensor nobody asked for is as much an error as one that is missing: it usually means that
the configuration belongs to another model, and the numbers would be wrong without any other sign.
"""

import math
from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np

from causeway.engine import scalars
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_copy import all_finite

STORED = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
LISTED = 8
COMPARED_ROWS = 1024


def check_tensors(tensors: Mapping[str, TensorFile], shapes: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Names and shapes against what is expected, from headers alone.

    Args:
        tensors: what the files hold.
        shapes: expected shape by name; nothing else may be there.
        what: the thing being read, for errors.

    Raises:
        ValueError: tensors are missing, unused, wrong-shaped or not floating point.
    """
    where = _place(tensors)
    unused = sorted(set(tensors) - set(shapes))
    if missing := sorted(set(shapes) - set(tensors)):
        # A tensor under another name is both: the two names together say so.
        others = f"; there without a place in it: {listed(unused)}" if unused else ""
        raise ValueError(
            f"{where}: {len(missing)} of the {len(shapes)} tensors of {what} missing: {listed(missing)}{others}"
        )
    if unused:
        raise ValueError(
            f"{where}: {len(unused)} tensors have no place in {what}: {listed(unused)}; "
            "does the configuration belong to these weights?"
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise ValueError(f"{tensor.file}: tensor {name} has shape {tensor.shape}; the configuration needs {shape}")
        if tensor.dtype.kind in "iu":
            raise ValueError(f"{tensor.file}: tensor {name} holds {tensor.dtype}; weights are floating point")


def _place(tensors: Mapping[str, TensorFile]) -> str:
    """The file that holds them, or the folder of several files."""
    files = {tensor.file for tensor in tensors.values()}
    if len(files) == 1:
        return str(files.pop())
    return str(files.pop().parent) if files else "the weight file"


def without_copy(tensors: Mapping[str, TensorFile], name: str, copy: str) -> dict[str, TensorFile]:
    """The tensors less the second copy of a tied embedding, which some files store.

    Raises:
        ValueError: both are there and differ, though the configuration ties them.
    """
    kept = dict(tensors)
    if name not in kept or copy not in kept:
        return kept
    second = kept.pop(copy)
    if second.shape != kept[name].shape or not _equal(second, kept[name]):
        raise ValueError(
            f"{second.file}: {copy} differs from {name}, but tie_word_embeddings is true in config.json; "
            "set it to false if the model is untied"
        )
    return kept


def _equal(a: TensorFile, b: TensorFile) -> bool:
    """Whether two tensors of one shape have the same values; a few rows of each are in memory at a time."""
    ranges = ((start, start + COMPARED_ROWS) for start in range(0, a.shape[0], COMPARED_ROWS))
    return all(np.array_equal(a.read_slice(*rows), b.read_slice(*rows)) for rows in ranges)


def read_finite(tensor: TensorFile, dtype: np.dtype) -> np.ndarray:
    """One tensor in a dtype.

    Checking after the cast also finds values that only that dtype cannot hold.

    Raises:
        ValueError: a value is not finite.
    """
    with np.errstate(over="ignore"):
        values = tensor.read().astype(dtype, copy=False)
    if not all_finite(values):
        bad = values.size - int(np.isfinite(values).sum())
        raise ValueError(
            f"{tensor.file}: tensor {tensor.name} has {bad} of {values.size} values that are not finite in {dtype}; "
            "the file is damaged, or was saved by a training run that diverged"
        )
    return values


def one_number(tensor: TensorFile) -> float:
    """The value of a tensor that holds one.

    Raises:
        ValueError: it holds more, none, or one that is not finite.
    """
    if math.prod(tensor.shape) != 1:
        raise ValueError(f"{tensor.file}: tensor {tensor.name} has shape {tensor.shape}; needs one number")
    return scalars.real(tensor.read().item(), f"{tensor.file}: tensor {tensor.name}")


def to_stored(values: np.ndarray, name: str, dtype: str) -> np.ndarray:
    """An array in the dtype of a file to be written, contiguous.

    Raises:
        ValueError: unknown dtype, or a value is not finite in it.
    """
    if dtype not in STORED:
        raise ValueError(f"dtype: got {dtype!r}; needs one of {', '.join(STORED)}")
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(values.astype(STORED[dtype], copy=False))
    if not np.isfinite(cast).all():
        raise ValueError(f"tensor {name}: has values that are not finite in {dtype}; store a wider dtype")
    return cast


def listed(names: Sequence[object]) -> str:
    """Names for an error line, the first few of many."""
    head = ", ".join(str(name) for name in names[:LISTED])
    return head + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
