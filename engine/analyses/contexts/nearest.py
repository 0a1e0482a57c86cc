"""Features that write alike: the others of a layer whose decoder rows have the largest cosine with a feature's own.

Of a cross-layer transcoder the rows for all layers written are taken together as one vector.

Shapes: F features of a layer, O numbers that each writes, k kept. Cost: 2 F O operations a feature. Memory: a block of
features times F.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.placement import Holder
from causeway.engine.gathered import to_host
from causeway.engine.precision import full_precision
from causeway.kernels.top_k import top_k

NEAREST = 3
_BLOCK_BYTES = 1 << 28


def nearest_features(
    dictionary: Holder, layer: int, features: Int[np.ndarray, " f"], k: int = NEAREST
) -> tuple[Int[np.ndarray, "f k"], Float[np.ndarray, "f k"]]:
    """Numbers and cosines of the most similar other features, the most similar first; of few features fewer than k,
    of one none.

    Args:
        dictionary: any holder. layer: model layer. features: numbers of those asked about.
    """
    rows = jnp.asarray(dictionary.arrays_at(layer)["W_dec"])
    directions = _directions(rows.reshape(len(rows), -1))
    k, size = min(k, len(rows) - 1), max(1, min(len(features), _BLOCK_BYTES // (4 * len(rows))))
    if not k:
        return np.zeros((len(features), 0), np.int32), np.zeros((len(features), 0), np.float32)
    blocks = []
    for start in range(0, len(features), size):
        own = features[start : start + size]
        padded = np.r_[own, np.repeat(own[:1], size - len(own))].astype(np.int32)
        blocks.append([array[: len(own)] for array in to_host(_most_similar(directions, padded, k))])
    ids, cosines = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
    return ids, cosines


@jax.jit
def _directions(rows: Float[Array, "F O"]) -> Float[Array, "F O"]:
    """Rows of norm 1; zeros stay."""
    wide = rows.astype(jnp.float32)
    norm = jnp.linalg.norm(wide, axis=1, keepdims=True)
    return wide / jnp.where(norm > 0, norm, 1)


@partial(jax.jit, static_argnames="k")
@full_precision
def _most_similar(directions: Float[Array, "F O"], own: Int[Array, " f"], k: int) -> tuple[Array, Array]:
    cosines = directions[own] @ directions.T
    cosines = jnp.where(jnp.arange(len(directions)) == own[:, None], -jnp.inf, cosines)
    values, ids = top_k(cosines, k)
    return ids, values
