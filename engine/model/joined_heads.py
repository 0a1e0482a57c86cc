"""Query, key and value maps as one array, so that one product makes all three.

By key/value group: the R = H / G query heads that share a key and a value, then these two,

    [.., G, R + 2, K]        query = [.., :R, :] as [.., H, K]        key = [.., R, :]        value = [.., R + 1, :]

so that groups stay whole where a mesh splits them, and no weight is joined or cut on the way to the product. Biases lie
alike. Published files, and analyses that read weights, know the three by their own names; `PIECES` says where they are.

Shapes: H heads, G kv heads, K head width.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

# Name of a joined parameter -> name of each piece -> its entries of the last axis but one.
_SHARES = {"query": slice(None, -2), "key": slice(-2, -1), "value": slice(-1, None)}
PIECES = {
    "attention.qkv": {f"attention.{name}": share for name, share in _SHARES.items()},
    "attention.qkv_bias": {f"attention.{name}_bias": share for name, share in _SHARES.items()},
}


def join_heads(
    query: Float[Array, "*lead H K"], key: Float[Array, "*lead G K"], value: Float[Array, "*lead G K"]
) -> Float[Array, "*lead G R2 K"]:
    """One array of the three."""
    grouped = query.reshape(*key.shape[:-1], -1, key.shape[-1])
    return jnp.concatenate([grouped, key[..., None, :], value[..., None, :]], axis=-2)


def queries(joined: Float[Array, "*lead G R2 K"]) -> Float[Array, "*lead H K"]:
    """The queries of all groups, in the order of heads."""
    own = joined[..., :-2, :]
    return own.reshape(*own.shape[:-3], -1, own.shape[-1])


def keys(joined: Float[Array, "*lead G R2 K"]) -> Float[Array, "*lead G K"]:
    """Each group's key."""
    return joined[..., -2, :]


def values(joined: Float[Array, "*lead G R2 K"]) -> Float[Array, "*lead G K"]:
    """Each group's value."""
    return joined[..., -1, :]


def pieces_of(parameter: str) -> dict[str, slice | None]:
    """What a parameter is known as: its pieces with their entries of the last axis but one, or itself and all of it."""
    prefix, dot, name = parameter.partition("attention.")
    pieces = PIECES.get(dot + name)
    return {parameter: None} if pieces is None else {prefix + piece: share for piece, share in pieces.items()}
