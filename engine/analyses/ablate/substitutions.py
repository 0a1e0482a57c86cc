"""What the output would be if effects of neurons were others: algebra on codes, without a pass.

The last norm's output y is a sum of parts, the effect phi_n of each neuron among them. With d_n = phi_n - E phi_n the
deviation from the mean over prompts that chose, each substitution changes y by a sum over the chosen neurons:

    mean               every phi_n becomes its mean                               - sum d_n
    significant        those beyond the neuron's threshold do                     - sum [|d_n| > threshold_n] d_n
    insignificant      the others do                                              - sum [|d_n| <= threshold_n] d_n
    rank_1             d_n becomes its part along the component c_n               - sum d_n - <d_n, c_n> c_n
    sparse             the same along the reconstruction of c_n from its words, at norm 1
    keep_above_q       d_n stays beyond the q-quantile of |d_n| over the prompts that chose, and is 0 elsewhere

Nothing else answers: no norm is computed again, no later layer sees a change.

Shapes: P prompts, B of them held out, m neurons of a chunk, K codes, D model, Q masks.
Cost: 2 B m K D for each substitution.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.analyses.components.neuron_components import BLOCK_BYTES, gram_program, sizes_of
from causeway.engine.arrays import AnyArray
from causeway.engine.precision import full_precision
from causeway.engine.sparse.gram_pca import loadings_of_vectors

QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
MASKED = ("mean", "significant", "insignificant", *(f"keep_above_{q:g}" for q in QUANTILES))
RANK_1, SPARSE, PUBLISHED = "rank_1", "sparse", "sparse_as_published"
Changes = dict[str, Float[np.ndarray, "B D"]]


class Given(NamedTuple):
    """What is known of m neurons.

    Attributes:
        threshold: [m]. directions: by name, [m, D]: what deviations are reduced to; d becomes (d . v) v.
    """

    threshold: Float[np.ndarray, " m"]
    directions: Mapping[str, Float[np.ndarray, "m D"]]


class Substituted(NamedTuple):
    """Of m neurons.

    Attributes:
        changes: of y, by substitution. significant: [B, m] which effects are beyond their threshold.
    """

    changes: Changes
    significant: Bool[np.ndarray, "B m"]


def substituted(
    maps: Float[Array, "m K D"],
    codes: Float[np.ndarray, "P m K"],
    chosen: Bool[np.ndarray, " P"],
    numbers: Int[np.ndarray, " B"],
    given: Given,
) -> Substituted:
    """What every substitution of some neurons changes.

    Args:
        maps: of the neurons. codes: on all prompts. chosen: those that chose. numbers: those asked about.
    """
    gram, mean = gram_program(maps), codes[chosen].mean(axis=0, dtype=np.float64).astype(codes.dtype)
    train = sizes_of(codes, np.flatnonzero(chosen), mean, gram)
    sizes = sizes_of(codes, numbers, mean, gram)
    beyond = sizes > given.threshold
    removed = [np.ones_like(beyond), beyond, ~beyond, *(sizes <= np.quantile(train, q, axis=0) for q in QUANTILES)]
    off = codes[numbers] - mean
    changes = dict(zip(MASKED, _masked(off, np.stack(removed), maps), strict=True))
    for name, vectors in given.directions.items():
        changes[name] = changes["mean"] + np.asarray(_along(off, jnp.asarray(vectors, maps.dtype), maps))
    return Substituted(changes, beyond)


def _masked(
    off: Float[np.ndarray, "B m K"], removed: Bool[np.ndarray, "Q B m"], maps: Float[Array, "m K D"]
) -> Float[np.ndarray, "Q B D"]:
    """Less the deviations that are removed, a few prompts at a time."""
    rows = max(1, BLOCK_BYTES // max(1, len(removed) * off[0].nbytes))
    parts = [_less(off[at : at + rows], removed[:, at : at + rows], maps) for at in range(0, len(off), rows)]
    return np.concatenate([np.asarray(part) for part in parts], axis=1)


@jax.jit
@full_precision
def _less(
    off: Float[AnyArray, "B m K"], removed: Bool[AnyArray, "Q B m"], maps: Float[Array, "m K D"]
) -> Float[Array, "Q B D"]:
    count, neurons, codes = off.shape
    gone = jnp.where(removed[..., None], off[None], 0).reshape(-1, neurons * codes)
    return -(gone @ maps.reshape(neurons * codes, -1)).reshape(-1, count, maps.shape[-1])


@jax.jit
@full_precision
def _along(
    off: Float[AnyArray, "B m K"], vectors: Float[Array, "m D"], maps: Float[Array, "m K D"]
) -> Float[Array, "B D"]:
    """Sum of the deviations' parts along a direction of each neuron."""
    along = loadings_of_vectors(vectors[:, None], maps)[:, 0]
    return jnp.einsum("bmk,mk->bm", off, along) @ vectors
