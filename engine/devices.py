"""Rows over the devices of one process.

Rows of a bucket are independent, so a computation over several devices is the same program on each with its own rows:
weights and whatever else rows share are replicated once, what differs from row to row carries a leading device axis
and is split along it. Two ways of saying so are kept, `shard_map` (default) and literal `pmap`; a test holds them and
one device equal to the last bit. Nothing is communicated inside the program.

The mesh has Auto axis types: explicit ones break gathers over the sharded axis and `pmap` on the same arrays.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from causeway.engine.precision import full_precision

AXIS = "rows"
Mode = Literal["shard_map", "pmap"]
Part = TypeVar("Part")
MODES: tuple[Mode, ...] = ("shard_map", "pmap")


@dataclasses.dataclass(frozen=True)
class RowParallel:
    """Local devices and the way rows are spread over them; hashable, so compiled programs are cached by it."""

    devices: tuple[jax.Device, ...]
    mode: Mode = "shard_map"

    @property
    def count(self) -> int:
        """Number of devices."""
        return len(self.devices)

    @property
    def mesh(self) -> Mesh:
        """One axis over the devices."""
        return Mesh(np.array(self.devices), (AXIS,), axis_types=(AxisType.Auto,))

    def replicate(self, tree: Any) -> Any:
        """Every array whole on every device; done once for weights."""
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def split(self, tree: Any) -> Any:
        """Arrays [devices, ...] with one slice on each device."""
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec(AXIS)))

    def deal(self, parts: Sequence[Part], filler: Part | None = None) -> list[list[Part]]:
        """Parts in stripes of one a device, in order; the last stripe is short, or made up by fillers."""
        if filler is not None:
            parts = [*parts, *[filler] * (-len(parts) % self.count)]
        return [list(parts[start : start + self.count]) for start in range(0, len(parts), self.count)]

    def place(self, parts: Sequence[Any]) -> Any:
        """Trees of equal shapes, one on each device; a short stripe is filled up by repeating its first."""
        filled = [*parts, *[parts[0]] * (self.count - len(parts))]
        return self.split(jax.tree.map(_stacked, *filled))

    @staticmethod
    def apart(tree: Any, count: int) -> list[Any]:
        """The first `count` slices of arrays [devices, ...]: what became of the parts of a stripe."""
        return [jax.tree.map(lambda a, i=i: a[i], tree) for i in range(count)]

    def program(self, function: Callable[..., Any], **static: Any) -> Callable[[Any, Any], Any]:
        """`function(shared, own, **static)` compiled to take own [devices, ...] and return results [devices, ...]."""
        return _program(self, function, tuple(sorted(static.items())))


def _stacked(*leaves: Any) -> Any:
    """Arrays on a device are stacked there."""
    return (jnp if isinstance(leaves[0], jax.Array) else np).stack(leaves)


@functools.cache
def _program(parallel: RowParallel, function: Callable[..., Any], static: tuple[tuple[str, Any], ...]):
    bound = full_precision(functools.partial(function, **dict(static)))
    if parallel.mode == "pmap":
        return jax.pmap(bound, axis_name=AXIS, in_axes=(None, 0), devices=parallel.devices)

    def on_one_device(shared, own):
        out = bound(shared, jax.tree.map(lambda a: a[0], own))
        return jax.tree.map(lambda a: jnp.asarray(a)[None], out)

    spec = PartitionSpec(AXIS)
    program = jax.jit(
        jax.shard_map(
            on_one_device, mesh=parallel.mesh, in_specs=(PartitionSpec(), spec), out_specs=spec, check_vma=False
        )
    )
    _MADE.append((function, program))
    return program


# What was compiled of which function, for benchmarks and for tests that count compilations.
_MADE: list[tuple[Callable[..., Any], Any]] = []


def compilations(function: Callable[..., Any]) -> int:
    """How many programs have been compiled of a function, over all its static arguments and shapes."""
    return sum(program._cache_size() for made, program in _MADE if made is function)


def local_parallel(count: int | None = None, mode: Mode = "shard_map") -> RowParallel:
    """The first `count` local devices (default: all).

    Raises:
        ValueError: fewer devices than asked for, or an unknown mode.
    """
    devices = jax.local_devices()
    if mode not in MODES:
        raise ValueError(f"parallel: got {mode!r}; needs one of {', '.join(MODES)}")
    if count is not None and not 1 <= count <= len(devices):
        raise ValueError(f"devices: got {count}; this process has {len(devices)}")
    return RowParallel(tuple(devices[: count or len(devices)]), mode)
