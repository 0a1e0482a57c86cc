"""A scalar routine over many rows of counts, run once for each distinct row.

scipy's exact tests take one table at a time. Thousands of features with a few dozen trials each share a few hundred
distinct tables, so the loop is over those.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int


def per_distinct_row(function: Callable, *columns: Int[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Values of a function of integers, for each row of the columns.

    Args:
        function: takes one int a column, returns a number or a tuple of numbers (which adds a last axis).
        columns: integer arrays that broadcast against each other.
    """
    arrays = np.broadcast_arrays(*columns)
    shape = arrays[0].shape
    rows = np.stack([a.ravel() for a in arrays], axis=1).astype(np.int64)
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    values = np.asarray([function(*(int(v) for v in row)) for row in distinct], dtype=np.float64)
    return values[inverse.ravel()].reshape(*shape, *values.shape[1:])
