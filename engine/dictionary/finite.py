"""Features that are not numbers: which, and whether it is the dictionary's own arrays that hold none.

Files are checked as they are read (ports). What is left are dictionaries made in memory, and finite ones whose products
overflow: both show in the values of the features, because activations hand on what is not a number.
"""

from typing import NoReturn

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.finite import NotFiniteError, all_finite


def check_features(
    values: Float[np.ndarray, " n"],
    features: Int[np.ndarray, " n"],
    layer: int,
    dictionary: Holder,
) -> None:
    """Refuse values of features of one layer that are not all numbers.

    Raises:
        NotFiniteError: naming layer, stream and feature, and the dictionary's array if it is at fault.
    """
    if not all_finite(values):
        refuse_features(int(features[np.argmin(np.isfinite(values))]), layer, dictionary)


def refuse_features(feature: int, layer: int, dictionary: Holder) -> NoReturn:
    """Raise for one feature of a layer that is not a number."""
    broken = broken_arrays(dictionary, layer)
    because = (
        f"the dictionary of layer {layer} holds values in {', '.join(broken)} that are not finite: its files are "
        "damaged, or its training diverged"
        if broken
        else "the stream or the dictionary's weights are too large: check that they belong together"
    )
    raise NotFiniteError(f"feature {feature} of layer {layer} {dictionary.config.stream} is not finite; {because}")


def broken_arrays(dictionary: Holder, layer: int) -> list[str]:
    """Names of a layer's arrays that hold an infinity or NaN."""
    return [name for name, array in dictionary.arrays_at(layer).items() if not bool(jnp.isfinite(array).all())]
