"""Rows over devices: the two axes of `engine.mesh`, and programs over them.

Rows of a bucket are independent, so a computation over several devices is the same program on each with its own rows:
weights and whatever else rows share are replicated once, what differs from row to row carries a leading device axis
and is split along `data`. Two ways of saying so are kept, `shard_map` (default) and literal `pmap`; a test holds them
and one device equal to the last bit. Nothing is communicated along `data`.

With more than one place along `model`, a device of rows is that many devices together: the program is written out
along `data` alone, and the compiler splits it along `model` as the weights and features that come in are split.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from causeway.engine.gathered import put
from causeway.engine.mesh import AXES, DATA, MODEL, lies_apart, mesh_of
from causeway.engine.precision import full_precision

Mode = Literal["shard_map", "pmap"]
Part = TypeVar("Part")
MODES: tuple[Mode, ...] = ("shard_map", "pmap")


@dataclasses.dataclass(frozen=True)
class RowParallel:
    """The devices of a mesh and the way rows are spread over them; hashable, so compiled programs are cached by it.

    Attributes:
        devices: those along `model` are neighbours.
        mode: how a program is told.
        model: places along `model`, over which weights and features may be split.
    """

    devices: tuple[jax.Device, ...]
    mode: Mode = "shard_map"
    model: int = 1

    @property
    def count(self) -> int:
        """Places along `data`: devices of rows."""
        return len(self.devices) // self.model

    @property
    def mesh(self) -> Mesh:
        """The devices along `data` and `model`."""
        return mesh_of(self.devices, self.model)

    def replicate(self, tree: Any) -> Any:
        """Every array at every place along `data`, done once for weights; split along `model` where it is already."""
        mesh = self.mesh
        whole = NamedSharding(mesh, PartitionSpec())
        return put(tree, jax.tree.map(lambda a: a.sharding if _is_split(a, mesh) else whole, tree))

    def split(self, tree: Any) -> Any:
        """Arrays [devices, ...] with one slice on each device."""
        return put(tree, NamedSharding(self.mesh, PartitionSpec(DATA)))

    def deal(self, parts: Sequence[Part], filler: Part | None = None) -> list[list[Part]]:
        """Parts in stripes of one a device, in order; the last stripe is short, or made up by fillers."""
        if filler is not None:
            parts = [*parts, *[filler] * (-len(parts) % self.count)]
        return [list(parts[start : start + self.count]) for start in range(0, len(parts), self.count)]

    def stripes(self, parts: Iterable[Part], kind: Callable[[Part], Hashable]) -> Iterator[list[Part]]:
        """Parts of one kind, which one program runs, as many at a time as there are devices of rows."""
        alike: dict[Hashable, list[Part]] = {}
        for part in parts:
            alike.setdefault(kind(part), []).append(part)
        for same in alike.values():
            yield from self.deal(same)

    def place(self, parts: Sequence[Any]) -> Any:
        """Trees of equal shapes, one on each device; a short stripe is filled up by repeating its first."""
        filled = [*parts, *[parts[0]] * (self.count - len(parts))]
        return self.split(jax.tree.map(_stacked, *filled))

    @staticmethod
    def apart(tree: Any, count: int) -> list[Any]:
        """The first `count` slices of arrays [devices, ...]: what became of the parts of a stripe."""
        return [jax.tree.map(lambda a, i=i: a[i], tree) for i in range(count)]

    def run(self, function: Callable[..., Any], shared: Any, parts: Sequence[Any], **static: Any) -> list[Any]:
        """What `program` makes of the parts of a stripe, one a device."""
        return self.apart(self.program(function, **static)(shared, self.place(parts)), len(parts))

    def program(self, function: Callable[..., Any], **static: Any) -> Callable[[Any, Any], Any]:
        """`function(shared, own, **static)` compiled to take own [devices, ...] and return results [devices, ...]."""
        return _program(self, function, tuple(sorted(static.items())))


def _is_split(array: Any, mesh: Mesh) -> bool:
    """Whether an array is split along the `model` of this very mesh already."""
    sharding = getattr(array, "sharding", None)
    if not isinstance(sharding, NamedSharding) or sharding.is_fully_replicated:
        return False
    return list(sharding.mesh.devices.flat) == list(mesh.devices.flat) and _model(sharding.mesh) == _model(mesh) > 1


def _model(mesh: Any) -> int:
    return mesh.shape.get(MODEL, 1)


def _stacked(*leaves: Any) -> Any:
    """Arrays on a device are stacked there."""
    return (jnp if isinstance(leaves[0], jax.Array) else np).stack(leaves)


@functools.cache
def _program(parallel: RowParallel, function: Callable[..., Any], static: tuple[tuple[str, Any], ...]):
    bound = full_precision(functools.partial(function, **dict(static)))
    if parallel.mode == "pmap":
        return jax.pmap(bound, axis_name=DATA, in_axes=(None, 0), devices=parallel.devices)

    def on_one_device(shared, own):
        out = bound(shared, jax.tree.map(lambda a: a[0], own))
        return jax.tree.map(lambda a: jnp.asarray(a)[None], out)

    on_one_device.__name__ += f"_{function.__name__}"  # for profiles, and who asks what was compiled
    spec = PartitionSpec(DATA)
    written_out = {DATA} if parallel.model > 1 else set(AXES)
    program = jax.jit(
        jax.shard_map(
            on_one_device, mesh=parallel.mesh, in_specs=(PartitionSpec(), spec), out_specs=spec,
            axis_names=written_out, check_vma=False,
        ),
        # Told again: on one device the compiler calls results whole, and what takes them would be traced a second time.
        # Along `model` the compiler chooses.
        out_shardings=NamedSharding(parallel.mesh, spec) if parallel.model == 1 else None,
    )  # fmt: skip
    _MADE.append((function, program))
    return program


# What was compiled of which function, for benchmarks and for tests that count compilations.
_MADE: list[tuple[Callable[..., Any], Any]] = []


def compilations(function: Callable[..., Any]) -> int:
    """How many programs have been compiled of a function, over all its static arguments and shapes."""
    return sum(program._cache_size() for made, program in _MADE if made is function)


def local_parallel(count: int | None = None, mode: Mode = "shard_map", model: int = 1) -> RowParallel:
    """The first `count` local devices (default: all).

    Args:
        count, mode: see `RowParallel`. model: places along `model`; it divides `count`.

    Raises:
        ValueError: fewer devices than asked for, devices that `model` does not divide, or an unknown mode.
    """
    devices = jax.local_devices()
    if mode not in MODES:
        raise ValueError(f"parallel: got {mode!r}; needs one of {', '.join(MODES)}")
    if count is not None and not 1 <= count <= len(devices):
        raise ValueError(f"devices: got {count}; this process has {len(devices)}")
    count = count or len(devices)
    if count % model:
        raise ValueError(f"mesh: {MODEL}:{model} does not divide {count} devices; use as many as it divides")
    return mesh_parallel(mesh_of(devices[:count], model), mode)


def mesh_parallel(mesh: Mesh, mode: Mode = "shard_map") -> RowParallel:
    """The devices of a mesh.

    Raises:
        ValueError: `pmap` over a mesh that it does not serve.
    """
    if mode == "pmap" and _model(mesh) > 1:
        raise ValueError(f"parallel: got pmap with {MODEL}:{_model(mesh)}; pmap splits no weights, use shard_map")
    if mode == "pmap" and lies_apart(mesh):
        raise ValueError("parallel: got pmap with a mesh over several processes; use shard_map")
    return RowParallel(tuple(mesh.devices.flat), mode, _model(mesh))


def parallel_of(*trees: Any) -> RowParallel:
    """Rows where arrays lie: over the mesh that some are placed on, otherwise on one device.

    Args:
        trees: of arrays, a model's before its dictionaries'.

    Raises:
        ValueError: they are placed on two meshes.
    """
    leaves = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(trees)]
    meshes = dict.fromkeys(one.mesh for one in leaves if isinstance(one, NamedSharding) and one.num_devices > 1)
    if not meshes:
        return local_parallel(1)
    first, *others = ((tuple(mesh.devices.flat), _model(mesh)) for mesh in meshes)
    if any(other != first for other in others):
        raise ValueError("placement: the model and its dictionaries lie on different meshes; place both on one")
    devices, model = first
    return RowParallel(devices, "shard_map", model)
