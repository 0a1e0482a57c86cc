"""How far a target moves when another feature of the source's layer is written instead, at equal norm.

The band of a target is the conformal quantile of |delta| over the controls of the source's layer (`random` arms with
the same value): the ceil(share (n + 1))-th smallest of n, which a feature no different from random ones exceeds with
probability at most 1 - share. A layer with fewer than 19 controls borrows those of other layers that reach the target
by the same route.

Shapes: C controls, T targets. Cost: sorting.
"""

import numpy as np
from jaxtyping import Float, Int

SHARE = 0.95


def null_band(
    controls: Float[np.ndarray, "C T"], layer_of: Int[np.ndarray, " C"], layer: int, target_layer: Int[np.ndarray, " T"]
) -> Float[np.ndarray, " T"]:  # fmt: skip
    """The bound of |delta| of a source's layer on each target; NaN where all layers together have too few controls.

    Args:
        controls: delta of each control, NaN where it has none. layer_of: of the controls' sources. layer: the source's.
    """
    own = _conformal(np.abs(controls[layer_of == layer]))
    same_route = (layer_of[:, None] < target_layer) == (layer < target_layer)
    borrowed = _conformal(np.where(same_route, np.abs(controls), np.nan))
    return np.where(np.isnan(own), borrowed, own)


def _conformal(sizes: Float[np.ndarray, "C T"]) -> Float[np.ndarray, " T"]:
    count = (~np.isnan(sizes)).sum(axis=0)
    rank = np.ceil(SHARE * (count + 1) - 1e-9).astype(int)
    if not len(sizes):
        return np.full(sizes.shape[1], np.nan)
    at = np.take_along_axis(np.sort(sizes, axis=0), np.minimum(rank, len(sizes))[None] - 1, axis=0)[0]
    return np.where((rank >= 1) & (rank <= count), at, np.nan)
