"""Where the parameters of a model live: on one device, or on a mesh (`engine.mesh`), whole or split along `model`.

Every large parameter is split along the axis that products with it do not have to communicate over twice:

    attention   kv heads G (query, key and value, one array), each with the H / G query heads; heads H (output)
    MLP         neurons N
    embeddings  vocabulary V

Norms and output biases are whole everywhere. Computations need no change: the compiler moves what has to be moved.
"""

import dataclasses
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, Sharding

from causeway.engine.devices import parallel_of
from causeway.engine.mesh import MODEL, checked_mesh, split
from causeway.engine.model.transformer import Transformer

Where = Mesh | Sharding | None
Tree = TypeVar("Tree")

# What an axis of a parameter counts (`mesh.RULES`), and which axis that is, from the end.
LOGICAL = {
    "attention.qkv": ("kv_heads", -3), "attention.qkv_bias": ("kv_heads", -3), "attention.output": ("heads", -3),
    "mlp.gate": ("neurons", -1), "mlp.up": ("neurons", -1), "mlp.down": ("neurons", -2),
    "mlp.gate_bias": ("neurons", -1), "mlp.up_bias": ("neurons", -1),
    "embedding": ("vocabulary", -2), "unembedding": ("vocabulary", -1),
}  # fmt: skip


def parameter_name(path: tuple) -> str:
    """`blocks.attention.qkv` for a leaf's key path where blocks are stacked; the last key is the Param's `value`."""
    return ".".join(str(key.name) for key in path[:-1])


def numerics_of(transformer: Transformer, dictionary: Any = None) -> dict[str, Any]:
    """What fixes the bits of a plan beside its widths: dtypes, and over how many places sums are split, where they are.

    Places along `data` are not among it: they change no bit.
    """
    places = parallel_of(transformer, dictionary).model
    told = dataclasses.asdict(transformer.numerics)
    if not transformer.numerics.in_parts:  # plans of other devices do not speak of it
        del told["in_parts"]
    return told | ({MODEL: places} if places > 1 else {})


def place_abstract(abstract: Tree, where: Where) -> Tree:
    """A tree of `jax.ShapeDtypeStruct` parameters with their shardings.

    Args:
        abstract: as `abstract_transformer` makes it.
        where: a mesh, one sharding for all parameters, or None for the default device.

    Raises:
        ValueError: a mesh with other axes than `engine.mesh` has, or that does not divide heads or neurons.
    """
    if isinstance(where, Mesh):
        checked_mesh(where, "sharding")

    def place(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        sharding = _of_parameter(parameter_name(path), leaf.shape, where) if isinstance(where, Mesh) else where
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(place, abstract)


def _of_parameter(name: str, shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    name, is_scale, _ = name.removeprefix("blocks.").partition(".scale")
    logical, axis = LOGICAL.get(name.removesuffix(".values"), ("neurons", None))
    if is_scale and axis is not None and shape[axis] == 1:
        axis = None  # of a weight in 8 bits that products sum over: every part has the one scale
    return split(mesh, shape, axis, logical, name)
