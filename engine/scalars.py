"""Numbers that come from people and files: whole numbers, finite numbers, seeds and layers, read at one place.

A number is taken where it means what is needed and refused where it would have to be bent: no fraction is cut off, no
integer wraps into a narrower dtype, no truth value counts as 0 or 1, nothing that is not finite passes. Python, numpy,
jax and torch scalars are read alike. Every refusal is one line: what it is, what came, what is needed.

Ranges are checked before any narrowing, on Python integers or in the array's own width.
"""

import math
import operator
import reprlib
from typing import Any

import numpy as np
from jaxtyping import Int

# Ids, positions, layers and seeds live in 32-bit arrays on the device.
INT32_MAX = 2**31 - 1
UINT32_MAX = 2**32 - 1


def integer(value: Any, name: str, low: int = 0, high: int = INT32_MAX) -> int:
    """A whole number in [low, high].

    A float that is whole (12.0, as tables and JSON may hold it) is that number; a fraction is refused.

    Raises:
        ValueError: not a whole number, or outside the range.
    """
    needed = f"needs a whole number from {low} to {high}"
    found = _whole(value)
    if found is None or not low <= found <= high:
        raise ValueError(f"{name}: got {shown(value)}; {needed}")
    return found


def real(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number in [low, high].

    Raises:
        ValueError: not a number, not finite as a float, or outside the range.
    """
    limits = "" if (low, high) == (-math.inf, math.inf) else f" from {low:g} to {high:g}"
    limits = f" of {low:g} or more" if high == math.inf and low > -math.inf else limits
    try:
        found = math.nan if _is_text_or_truth(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or not low <= found <= high:
        raise ValueError(f"{name}: got {shown(value)}; needs a finite number{limits}")
    return found


def seed(value: Any, name: str = "seed") -> int:
    """A seed: counters of random numbers are made of 32 bits of it, so more would draw what a smaller one draws."""
    return integer(value, name, 0, UINT32_MAX)


def layer(value: Any, num_layers: int, name: str = "layer") -> int:
    """A layer of a model; negative ones count from the end, -1 being the last.

    Raises:
        ValueError: not a whole number, or no layer of the model.
    """
    found = integer(value, name, -num_layers, num_layers - 1)
    return found % num_layers


def layers(values: Any, num_layers: int, name: str = "layers") -> tuple[int, ...]:
    """Layers of a model, each once and ascending; negative ones count from the end.

    Raises:
        ValueError: not a list of whole numbers, or no layer of the model.
    """
    found = np.atleast_1d(integers(values, name, -num_layers, num_layers - 1))
    return tuple(sorted({int(value) % num_layers for value in found}))


def integers(values: Any, name: str, low: int = 0, high: int = INT32_MAX) -> Int[np.ndarray, "..."]:
    """Whole numbers in [low, high] as int32 (int64 where `high` needs it), of the shape they came in.

    Raises:
        ValueError: an entry is no whole number or outside the range (the first such entry is named), or the entries
            make no array.
    """
    dtype = np.int32 if low >= -INT32_MAX - 1 and high <= INT32_MAX else np.int64
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: got {shown(values)}; needs whole numbers, as many in every row") from None
    if array.dtype.kind in "iu":
        inside = (array >= low) & (array <= high)
        if not inside.all():
            integer(array[~inside].flat[0], name, low, high)
        return array.astype(dtype)
    # Objects hold what numpy has no integer for; floats and truth values are judged one by one.
    found = [integer(value, name, low, high) for value in array.flat]
    return np.array(found, dtype).reshape(array.shape)


def finite_array(vector: Any, name: str) -> np.ndarray:
    """An array of finite numbers, from whatever holds one.

    Raises:
        ValueError: it holds something else.
    """
    try:
        array = np.asarray(vector)
        kind = array.dtype.kind if array.dtype.name != "bfloat16" else "f"
    except (TypeError, ValueError, RuntimeError):
        kind = "O"
    if kind not in "fiu" or not array.ndim or not np.isfinite(array.astype(np.float32)).all():
        raise ValueError(f"{name}: got {shown(vector)}; needs an array of finite numbers")
    return array


def text(value: Any, name: str) -> str:
    """A text.

    Raises:
        ValueError: something else.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name}: got {shown(value)}; needs a text")
    return value


def truth(value: Any, name: str) -> bool:
    """True or False, and nothing that only counts as one.

    Raises:
        ValueError: something else.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}: got {shown(value)}; needs True or False")
    return bool(value)


def shown(value: Any) -> str:
    """What came, as a person wrote it and never longer than a few dozen characters."""
    return reprlib.repr(value.item() if isinstance(value, np.generic) else value)


def _whole(value: Any) -> int | None:
    """The whole number that `value` is, or None."""
    if _is_text_or_truth(value):
        return None
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() else None


def _is_text_or_truth(value: Any) -> bool:
    """Text would be parsed and truth values counted, neither of which anybody means."""
    return isinstance(value, str | bytes | bool | np.bool_) or getattr(value, "dtype", None) in (np.bool_, np.str_)


def without_nan(value: Any) -> Any:
    """Nested values with None in the place of numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
