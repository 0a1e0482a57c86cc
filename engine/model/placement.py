"""Where the parameters of a model live: on one device, whole on every device of a mesh, or split over an axis of it.

A mesh that has an axis named `weights` splits every large parameter along the axis that products with it do not have
to communicate over twice:

    attention   heads H (query, output) and kv heads G (key, value)
    MLP         neurons N
    embeddings  vocabulary V

Norms and output biases are whole everywhere, and so is a parameter whose axis the mesh does not divide. Computations
need no change: jit moves what has to be moved. Axis types are Auto; explicit ones break gathers over a split axis.
"""

from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

WEIGHT_AXIS = "weights"
Where = Mesh | Sharding | None
Tree = TypeVar("Tree")

# Which axis of a parameter counts heads, neurons or words, from the end.
SPLIT = {
    "attention.query": -2, "attention.key": -2, "attention.value": -2, "attention.output": -3,
    "attention.query_bias": -2, "attention.key_bias": -2, "attention.value_bias": -2,
    "mlp.gate": -1, "mlp.up": -1, "mlp.down": -2, "mlp.gate_bias": -1, "mlp.up_bias": -1,
    "embedding": -2, "unembedding": -1,
}  # fmt: skip


def parameter_name(path: tuple) -> str:
    """`blocks.attention.query` for a leaf's key path; the last key is the Param's own `value`."""
    return ".".join(str(key.name) for key in path[:-1])


def place_abstract(abstract: Tree, where: Where) -> Tree:
    """A tree of `jax.ShapeDtypeStruct` parameters with their shardings.

    Args:
        abstract: as `abstract_transformer` makes it.
        where: a mesh (whole on all its devices, or split where it has an axis `weights`), one sharding for all
            parameters, or None for the default device.

    Raises:
        ValueError: a mesh with axes that are not Auto.
    """
    if isinstance(where, Mesh) and any(kind != AxisType.Auto for kind in where.axis_types):
        raise ValueError(
            f"sharding: the mesh has axis types {where.axis_types}; needs Auto, "
            "jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(names))"
        )

    def place(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        sharding = _of_parameter(parameter_name(path), leaf.shape, where) if isinstance(where, Mesh) else where
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree_util.tree_map_with_path(place, abstract)


def _of_parameter(name: str, shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    axis = SPLIT.get(name.removeprefix("blocks."))
    if WEIGHT_AXIS not in mesh.axis_names or axis is None or shape[axis] % mesh.shape[WEIGHT_AXIS]:
        return NamedSharding(mesh, PartitionSpec())
    names: list[str | None] = [None] * len(shape)
    names[axis] = WEIGHT_AXIS
    return NamedSharding(mesh, PartitionSpec(*names))
