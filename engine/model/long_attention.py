"""Causal attention over a whole sequence that never forms its patterns: memory in proportion to T, not to T^2.

Queries go through in blocks; each block meets the blocks of keys up to its own and keeps, for every query, the largest
score m so far, the sum of exp(s - m) and the sum of exp(s - m) v, both scaled down whenever a later block raises m
(Milakov & Gimelshein 2018, arXiv 1805.02867; Rabe & Staats 2021, arXiv 2112.05682). The result is that of
`attend_sequence` but for rounding. Blocks that no query sees, above the diagonal or beyond the window, are not
computed: half of the products.

A derivative is that of `attend_sequence`, patterns and all.

Shapes: B rows, T tokens, H = G * R heads, K head width, S tokens of a block, n = T / S of them.
Cost: 2 T^2 H K operations a row (half of what patterns cost); scores [S, S] a head in memory.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from causeway.engine.model.attention import attend_sequence, causal_mask, scaled
from causeway.engine.model.config import ModelConfig, Numerics

# From this many tokens on, a pass that nobody asks for patterns does without: below, 32 heads have 34 MB of them a row.
LONG = 512
# Tokens of a block: on CPU its scores stay in the cache; on a GPU what costs is the number of kernels.
ON_CPU, ELSEWHERE = 256, 1024


@partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def attend_long(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B T G K"],
    v: Float[Array, "B T G K"],
    window: int | Int[Array, ""] | None,
    config: ModelConfig,
    numerics: Numerics,
) -> Float[Array, "B T H K"]:
    """Head outputs, each token seeing itself and those before it, inside the window."""
    on_cpu, elsewhere = (partial(in_blocks, config, numerics, size) for size in (ON_CPU, ELSEWHERE))
    return jax.lax.platform_dependent(q, k, v, window, cpu=on_cpu, default=elsewhere)


@attend_long.defjvp
def _with_tangents(config: ModelConfig, numerics: Numerics, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    q, k, v, window = primals
    mask = causal_mask(q.shape[1], window)
    return jax.jvp(lambda q, k, v: attend_sequence(q, k, v, mask, config, numerics), (q, k, v), tangents[:3])


def in_blocks(
    config: ModelConfig, numerics: Numerics, size: int, q: Array, k: Array, v: Array, window: int | Array | None
) -> Float[Array, "B T H K"]:
    """`attend_long` in blocks of `size` tokens."""
    (_, t, _, width), g, dtype = q.shape, k.shape[2], numerics.accumulate_dtype
    queries, keys, values = (_cut(a, g, size) for a in (q, k, v))
    count, b, _, rows, _ = queries.shape
    places = jnp.arange(size)

    def block(i: Int[Array, ""]) -> Float[Array, "B G RS K"]:
        at = (i * size + jnp.tile(places, rows // size))[:, None]
        first = 0 if window is None else jnp.maximum(i * size - window + 1, 0) // size

        def meet(j: Int[Array, ""], met: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            peak, total, z = met
            scores = scaled(jnp.einsum("bgqk,bgsk->bgqs", queries[i], keys[j], preferred_element_type=dtype), config)
            seen = j * size + places <= at
            seen = seen if window is None else seen & (j * size + places > at - window)
            scores = jnp.where(seen, scores, -jnp.inf)
            higher = jnp.maximum(peak, jnp.max(scores, axis=-1, keepdims=True))
            weights, kept = jnp.exp(scores - higher), jnp.exp(peak - higher)
            new = jnp.einsum("bgqs,bgsk->bgqk", weights.astype(v.dtype), values[j], preferred_element_type=dtype)
            return higher, total * kept + jnp.sum(weights, axis=-1, keepdims=True), z * kept + new

        # A block that a query sees nothing of leaves the lowest number as its peak, from which no infinity comes.
        lowest = jnp.full((b, g, rows, 1), jnp.finfo(dtype).min, dtype)
        begun = lowest, jnp.zeros_like(lowest), jnp.zeros((b, g, rows, width), dtype)
        _, total, z = jax.lax.fori_loop(first, i + 1, meet, begun)
        return (z / total).astype(q.dtype)

    found = jax.lax.map(block, jnp.arange(count)).reshape(count, b, g, rows // size, size, width)
    return jnp.einsum("nbgrsk->bnsgrk", found).reshape(b, count * size, *q.shape[2:])[:, :t]


def _cut(heads: Float[Array, "B T H K"], groups: int, size: int) -> Float[Array, "n B G RS K"]:
    """Blocks of tokens, the last filled with zeros; in each the heads of a group one after another."""
    b, t, h, width = heads.shape
    filled = jnp.pad(heads, ((0, 0), (0, -t % size), (0, 0), (0, 0)))
    cut = filled.reshape(b, -1, size, groups, h // groups, width)
    return jnp.einsum("bnsgrk->nbgrsk", cut).reshape(-1, b, groups, h // groups * size, width)
