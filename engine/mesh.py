"""The mesh: devices along two axes, and which axis of an array is split over which of them.

    data     rows; what rows share (weights, caches of a prompt) is whole at each place of it
    model    heads, neurons, the vocabulary, features; what has none of them is whole at each place of it

Arrays say what their axes count (the logical axes), and one table says over which axis of a mesh that is split. Along
`data` nothing is communicated, and a row's bits do not depend on how many devices there are. Along `model` sums over
heads, neurons and features are of partial sums, so that the size of `model` is one of the widths that fix the bits.

Axis types are Auto: explicit ones break gathers over a split axis, and `pmap` on the same arrays.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from causeway.engine import scalars

DATA, MODEL = "data", "model"
AXES = (DATA, MODEL)
# What an axis of an array counts, and the axis of a mesh it is split over.
RULES: Mapping[str, str] = MappingProxyType({
    "rows": DATA, "heads": MODEL, "kv_heads": MODEL, "neurons": MODEL, "vocabulary": MODEL, "features": MODEL,
})  # fmt: skip
# Vocabularies have any size, and one that does not divide is as well whole: it costs memory, and nothing else.
WHOLE_IF_UNEVEN = frozenset({"vocabulary"})


def make_mesh(data: int = 1, model: int = 1) -> Mesh:
    """The first local devices along `data` and `model`, or the devices of all processes where it takes all of them.

    Args:
        data: places that rows are spread over.
        model: places that weights and features are split over.

    Raises:
        ValueError: sizes below 1, more than there are devices, or some of the devices of several processes.
    """
    data, model = scalars.integer(data, DATA, 1), scalars.integer(model, MODEL, 1)
    count, devices = data * model, jax.local_devices()
    everywhere = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if count > len(devices) and count == len(everywhere):
        return mesh_of(everywhere, model)
    if count > len(devices):
        of_all = f" of the {len(everywhere)} of all; take its own or all" if jax.process_count() > 1 else ""
        raise ValueError(
            f"mesh: {DATA}:{data},{MODEL}:{model} takes {count} devices; this process has {len(devices)}{of_all}"
        )
    return mesh_of(devices[:count], model)


def lies_apart(mesh: Mesh) -> bool:
    """Whether devices of other processes are in it: then all of them run each program together, in one order."""
    return len(mesh.local_devices) < mesh.size


def mesh_of(devices: Sequence[jax.Device], model: int) -> Mesh:
    """The mesh of some devices, of which neighbours lie along `model`."""
    return Mesh(np.array(devices).reshape(-1, model), AXES, axis_types=(AxisType.Auto,) * 2)


def mesh_sizes(text: str) -> tuple[int, int]:
    """Places along `data` and `model` of a mesh written as data:2,model:2; an axis left out has one.

    Raises:
        ValueError: another axis, one that is there twice, or a size that is no whole number from 1 on.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = (piece.strip() for piece in part.partition(":"))
        if name not in AXES or name in sizes or not size.isdecimal() or int(size) < 1:
            raise ValueError(f"mesh: got {text!r}; needs axes {DATA} and {MODEL} with their sizes, as data:2,model:2")
        sizes[name] = int(size)
    return sizes.get(DATA, 1), sizes.get(MODEL, 1)


def checked_mesh(mesh: Mesh, argument: str) -> Mesh:
    """The mesh, if arrays can be placed on it.

    Raises:
        ValueError: axes of other names or types.
    """
    if unknown := [name for name in mesh.axis_names if name not in AXES]:
        raise ValueError(f"{argument}: the mesh has an axis {unknown[0]!r}; needs {DATA} and {MODEL} (cw.make_mesh)")
    if any(kind != AxisType.Auto for kind in mesh.axis_types):
        raise ValueError(
            f"{argument}: the mesh has axis types {mesh.axis_types}; needs Auto, as cw.make_mesh makes them"
        )
    return mesh


def split(mesh: Mesh, shape: Sequence[int], axis: int | None, logical: str, name: str) -> NamedSharding:
    """The sharding of an array with one axis that is split, or none.

    Args:
        mesh: a `checked_mesh`. shape: of the array. axis: which axis that is; None: whole everywhere.
        logical: what it counts, a key of `RULES`. name: of the array, for the error.

    Raises:
        ValueError: the mesh does not divide the axis; says which sizes would.
    """
    places = mesh.shape.get(RULES[logical], 1)
    count = 1 if axis is None else shape[axis]
    uneven = count % places > 0
    if uneven and count > 1 and logical not in WHOLE_IF_UNEVEN:
        serve = ", ".join(str(n) for n in range(1, min(count, max(places, 8)) + 1) if count % n == 0)
        raise ValueError(
            f"mesh: {RULES[logical]}:{places} does not divide the {count} {logical} of {name}; sizes that do: {serve}"
        )
    if axis is None or uneven or places == 1:
        return NamedSharding(mesh, PartitionSpec())
    names: list[str | None] = [None] * len(shape)
    names[axis] = RULES[logical]
    return NamedSharding(mesh, PartitionSpec(*names))
