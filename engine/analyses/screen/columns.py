"""Columns of a table of features that a person may have written, read as what they have to be.

Ranges are checked in the width that the column came in: an id of 64 bits is refused, not narrowed into another one.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine import scalars


def whole_numbers(table: pa.Table, name: str) -> Int[np.ndarray, " N"]:
    """A column of ids.

    Raises:
        ValueError: entries that are missing or not whole numbers.
    """
    column = table[name]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) or column.null_count:
        missing = f" with {column.null_count} missing" if column.null_count else ""
        raise ValueError(f"features: column {name} is {column.type}{missing}; needs whole numbers")
    return scalars.integers(column.to_numpy(), f"features: column {name}")


def numbers(table: pa.Table, name: str) -> Float[np.ndarray, " N"]:
    """A column of numbers, NaN where they are missing.

    Raises:
        ValueError: a column of something else.
    """
    column = table[name]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise ValueError(f"features: column {name} is {column.type}; needs numbers")
    return column.to_numpy().astype(np.float64)
