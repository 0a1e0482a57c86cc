"""Identity of inputs: sha256 over canonical JSON, arrays and files.

Two runs may share a workdir only if everything that decides their numbers is equal. Configurations are compared by
their canonical JSON (keys sorted, no spaces, shortest round-trip floats), so that the order in which a dict was
filled, tuples instead of lists, or numpy scalars instead of Python's never make two equal plans look different.
Arrays are hashed with dtype and shape, in C order and little endian. Files are streamed.

Cost: one pass over the bytes (about 1-2 GB/s); memory is constant for files and one contiguous copy for a strided
array.
"""

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped


def canonical(value: Any, where: str = "config") -> Any:
    """The JSON value equal to a nested configuration.

    Args:
        value: dicts with string keys, sequences, dataclasses, enums, numpy scalars, strings, numbers, None.
        where: dotted name of `value`, for the error message.

    Returns:
        The same as plain dicts, lists, strings, numbers, booleans and None.

    Raises:
        ValueError: something has no exact JSON form (another type, a key that is not a string, nan or inf).
    """
    if isinstance(value, enum.Enum):
        return canonical(value.value, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: canonical(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(k, where): canonical(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(v, f"{where}[{i}]") for i, v in enumerate(value)]
    return _scalar(value.item() if isinstance(value, np.generic) else value, where)


def canonical_json(value: Any) -> str:
    """The one JSON text of a nested configuration (see `canonical`)."""
    return json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_sha256(value: Any) -> str:
    """Hex sha256 of the canonical JSON of a nested configuration."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_sha256(array: Shaped[np.ndarray, "..."]) -> str:
    """Hex sha256 of dtype, shape and contents; strides and byte order do not matter."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise ValueError(f"array: dtype {array.dtype} holds Python objects; give numbers or fixed-width strings")
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    digest = hashlib.sha256(f"{array.dtype.name}{list(array.shape)}".encode())
    digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def arrays_sha256(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> str:
    """Hex sha256 of named arrays; the order of the names does not matter."""
    return config_sha256({name: array_sha256(array) for name, array in arrays.items()})


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes, streamed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{where}: key {key!r} is {type(key).__name__}; give string keys, JSON would make them equal")
    return key


def _scalar(value: Any, where: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: {value} has no JSON form; give a finite number or None")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{where}: {type(value).__name__} has no JSON form; give numbers, strings, lists or dicts")
