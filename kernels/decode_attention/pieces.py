"""Keys and values that a query sees, in the arrays in which a cache holds them."""

import dataclasses

import jax
from jaxtyping import Array, Bool, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SharedKeys:
    """Keys and values that all rows share, without a row axis: [G, K, S] and [G, S, K].

    Seen where `mask` holds: [S], or [M, S] a query.
    """

    keys: Float[Array, "G K S"]
    values: Float[Array, "G S K"]
    mask: Bool[Array, "*M S"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RowKeys:
    """Keys and values of each row, both [G, B, S, K], seen where `mask` holds: [S], or [M, S] a query."""

    keys: Float[Array, "G B S K"]
    values: Float[Array, "G B S K"]
    mask: Bool[Array, "*M S"]


Pieces = tuple[SharedKeys | RowKeys, ...]
