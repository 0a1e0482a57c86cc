"""The k largest of each row, of features (or of a vocabulary) that may be split along `model` (`engine.mesh`).

Each part finds its own k largest, and of all these the k largest are kept: k values a part travel and not F. Of equal
ones the earlier comes first, as without parts: those of an earlier part stand before those of a later one, and within a
part the earlier before the later.

Shapes: F features, k kept.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from causeway.engine.mesh import MODEL
from causeway.kernels.top_k import top_k


def places_along_model() -> int:
    """Over how many places the program that is being traced may split features; 1 outside of one."""
    return jax.sharding.get_abstract_mesh().shape.get(MODEL, 1)


def largest(x: Float[Array, "*rows F"], k: int) -> tuple[Float[Array, "*rows k"], Int[Array, "*rows k"]]:
    """Values and places of the k largest, largest first; inside a program of `RowParallel` along both axes."""
    parts = places_along_model()
    count = x.shape[-1] // parts
    if parts == 1 or x.shape[-1] % parts:
        return top_k(x, k)
    of_each = min(k, count)
    along = PartitionSpec(*[None] * (x.ndim - 1), MODEL)
    values, places = jax.shard_map(
        lambda own: top_k(own, of_each), in_specs=along, out_specs=(along, along), axis_names={MODEL},
        check_vma=False,
    )(x)  # fmt: skip
    places = places + jnp.repeat(jnp.arange(parts, dtype=places.dtype) * count, of_each)
    values, chosen = top_k(values, k)
    return values, jnp.take_along_axis(places, chosen, axis=-1)
