"""Arrays of a mesh that lies over several processes: put there, and brought back to where the host can read them.

Every process puts the same numbers, of which each of its devices takes its part. It reads the parts that lie on its
own devices alone, so what is to be read is made whole on every device first: a program of all processes, which
therefore have to ask for the same arrays in the same order. Arrays of one process's devices are returned as they are.

Cost: an array is sent once to each device; results of a pass are small beside what the pass reads.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding


def put(tree: Any, shardings: Any) -> Any:
    """Arrays that every process has, or that lie on the mesh already, on the devices of a sharding.

    Args:
        tree: of arrays, equal in all processes. shardings: one for all of them, or a tree of them.
    """
    if isinstance(shardings, Sharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    if all(sharding.is_fully_addressable for sharding in jax.tree.leaves(shardings)):
        return jax.device_put(tree, shardings)
    return jax.tree.map(_put, tree, shardings)


def _put(leaf: Any, sharding: Sharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    # `device_put` would compare the numbers of all processes each time.
    host = np.asarray(leaf)
    host = host.astype(jax.dtypes.canonicalize_dtype(host.dtype), copy=False)
    return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)


def gathered(tree: Any) -> Any:
    """The arrays of a tree, readable in every process; started, not waited for.

    Args:
        tree: of arrays; what is no array of jax stays as it is.
    """
    leaves, structure = jax.tree.flatten(tree)
    apart = [at for at, leaf in enumerate(leaves) if _lies_apart(leaf)]
    if apart:
        mesh = next(iter({leaves[at].sharding.mesh for at in apart}))
        for at, whole in zip(apart, _on_all(mesh)([leaves[at] for at in apart]), strict=True):
            leaves[at] = whole
    return jax.tree.unflatten(structure, leaves)


def to_host(tree: Any) -> Any:
    """The arrays of a tree as numpy ones."""
    return jax.device_get(gathered(tree))


def _lies_apart(leaf: Any) -> bool:
    if not isinstance(leaf, jax.Array) or isinstance(leaf, jax.core.Tracer):
        return False
    return not leaf.is_fully_addressable and not leaf.is_fully_replicated


@functools.cache
def _on_all(mesh: Mesh) -> Callable[[list[jax.Array]], list[jax.Array]]:
    return jax.jit(_same, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _same(arrays: list[jax.Array]) -> list[jax.Array]:
    return arrays
