"""What an edit makes of a value: the one table of operations.

With f the present value of a feature, a component along a vector, a unit or an edge of a pattern, the new one is

    clip(scale * f + shift, lower, upper)

An operation says what these four numbers are for the value v that a person gives. `scale` 1 and `shift` 0 leave f as
it is to the last bit, and so do bounds that f lies within.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from causeway.engine.arrays import AnyArray


class Coefficients(NamedTuple):
    """The numbers of an operation; `shift` may be a vector, for what is one."""

    scale: float
    shift: Any
    lower: float = -math.inf
    upper: float = math.inf


OPERATIONS: dict[str, Callable[[Any], Coefficients]] = {
    "set": lambda v: Coefficients(0.0, v),
    "zero": lambda v: Coefficients(0.0, 0.0),
    "add": lambda v: Coefficients(1.0, v),
    "scale": lambda v: Coefficients(v, 0.0),
    "inhibit": lambda v: Coefficients(-v, 0.0),
    "own": lambda v: Coefficients(1.0, 0.0),
    "mean": lambda v: Coefficients(0.0, v),  # v is the mean
    "at_most": lambda v: Coefficients(1.0, 0.0, upper=v),
    "at_least": lambda v: Coefficients(1.0, 0.0, lower=v),
}


def coefficients(operation: str, value: Any) -> Coefficients:
    """The numbers of an operation with a value.

    Raises:
        ValueError: unknown operation, or a vector where it takes a number.
    """
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise ValueError(f"operation: got {operation!r}; needs one of {', '.join(OPERATIONS)}")
    found = OPERATIONS[operation](value)
    if any(np.ndim(number) for number in (found.scale, found.lower, found.upper)):
        raise ValueError(f"operation: {operation} takes a number; got an array of shape {np.shape(value)}")
    return found


def new_value(
    before: Float[AnyArray, "*rows"],
    scale: Float[AnyArray, "*#rows"],
    shift: Float[AnyArray, "*#rows"],
    bounds: tuple[Float[AnyArray, "*#rows"], Float[AnyArray, "*#rows"]] | None,
) -> Float[Array, "*rows"]:
    """The value after an operation; no bounds are none at all."""
    after = jnp.asarray(scale * before + shift)
    return after if bounds is None else jnp.clip(after, *bounds)
