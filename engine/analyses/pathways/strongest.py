"""The k entries of largest magnitude of each row, exactly, in two stages.

A sort over all sources of a target would cost more than finding their effects. Entries lie in blocks: the k blocks of
the largest maxima hold the k largest entries, because each block that is left out is behind k others whose maxima are
no smaller. So maxima of all blocks are compared, which takes one pass over the entries, none of which need be kept, and
then the entries of k blocks.

Entries are ordered by block, then by place in it; of equal ones the earlier comes first, as in a stable sort of all.

Shapes: R rows, B blocks, C places of a block.
Cost: sorts of B and of k C entries a row, beside the maxima.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.kernels.top_k import top_k


def largest(magnitude: Float[Array, "R N"], k: int) -> Int[Array, "R k"]:
    """Places of the k largest of each row (all, where there are fewer), the earlier of equal ones first."""
    return top_k(magnitude, min(k, magnitude.shape[1]))[1]


def leading(maxima: Float[Array, "R B"], k: int) -> Int[Array, "R k"]:
    """The blocks that hold the k entries of largest magnitude of each row, in their order."""
    return jnp.sort(largest(maxima, k), axis=1)


def strongest(entries: Float[Array, "R k C"], k: int) -> tuple[Int[Array, "R k"], Int[Array, "R k"]]:
    """Which of the leading blocks, and which place of it, each of the k entries of largest magnitude is, in order."""
    found = largest(jnp.abs(entries).reshape(len(entries), -1), k)
    return found // entries.shape[2], found % entries.shape[2]
