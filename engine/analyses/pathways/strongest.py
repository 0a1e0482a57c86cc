"""The k entries of largest magnitude of each row, exactly, in two stages.

A sort over all sources of a target would cost more than finding their effects. Entries lie in blocks: the k blocks of
the largest maxima hold the k largest entries, because each block that is left out is behind k others whose maxima are
no smaller. So maxima of all blocks are compared, which is one pass over the entries, and then the entries of k blocks.

Entries are ordered by block, then by place in it; of equal ones the earlier comes first, as in a stable sort of all.

Shapes: R rows, B blocks, C places of a block.
Cost: one pass over R B C entries, and sorts of B and of k C entries a row.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def largest(magnitude: Float[Array, "R N"], k: int) -> Int[Array, "R k"]:
    """Places of the k largest of each row (all, where there are fewer), the earlier of equal ones first."""
    return jax.lax.top_k(magnitude, min(k, magnitude.shape[1]))[1]


def strongest(effects: Float[Array, "C R B"], k: int) -> tuple[Int[Array, "R k"], Int[Array, "R k"]]:
    """Blocks and places of the k entries of largest magnitude of each row, the largest first.

    Places of a block lie first, where one pass over the entries runs along what is contiguous.
    """
    maxima = jnp.max(jnp.abs(effects), axis=0)
    blocks = jnp.sort(largest(maxima, k), axis=1)
    rows = jnp.arange(len(blocks))[:, None]
    entries = jnp.abs(effects[:, rows, blocks])
    flat = jnp.moveaxis(entries, 0, 2).reshape(len(blocks), -1)
    found = largest(flat, k)
    return jnp.take_along_axis(blocks, found // len(effects), axis=1), found % len(effects)
