"""Arrays filled where they live: each shard is written by a function that knows which part of the whole it is.

Whoever has the numbers on disk writes them straight into the memory of the finished array, so that no array is ever
there twice:

    on CPU       the shard's own buffer is filled and handed to jax without a copy (its start is aligned to 64 bytes,
                 which is what jax asks for); devices that hold the same part share one buffer
    elsewhere    a block of leading entries is filled on the host and sent, block by block into an array that is
                 updated in place (donated), so the host holds one block

Cost: host memory beyond the result is nothing on CPU, and one block (256 MiB, or one leading entry) elsewhere.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

BLOCK_BYTES = 1 << 28
ALIGNMENT = 64

Index = tuple[slice, ...]
Fill = Callable[[np.ndarray, Index], None]


def filled_array(shape: tuple[int, ...], dtype: np.dtype, sharding: Sharding | None, fill: Fill) -> jax.Array:
    """An array whose shards are written by `fill`.

    Args:
        shape, dtype: of the whole array.
        sharding: where it lives; None is the default device (and then later computations may move it).
        fill: `fill(target, index)` writes part `index` (a slice with both ends for every axis) into `target`.
    """
    if sharding is None:
        return _on_device(None, shape, dtype, tuple(slice(0, size) for size in shape), fill)
    groups: dict[tuple[tuple[int, int], ...], list[jax.Device]] = {}
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        ends = tuple(part.indices(size)[:2] for part, size in zip(index or (), shape, strict=True))
        groups.setdefault(ends, []).append(device)
    arrays = []
    for ends, devices in groups.items():
        index = tuple(slice(*pair) for pair in ends)
        arrays += _on_devices(devices, tuple(b - a for a, b in ends), dtype, index, fill)
    return jax.make_array_from_single_device_arrays(shape, sharding, arrays)


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory that jax takes over on CPU without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def _on_devices(
    devices: list[jax.Device], shape: tuple[int, ...], dtype: np.dtype, index: Index, fill: Fill
) -> list[jax.Array]:
    """The same part on several devices, filled once."""
    if devices[0].platform == "cpu":
        buffer = aligned_empty(shape, dtype)
        fill(buffer, index)
        return [jax.device_put(buffer, device) for device in devices]
    first = _on_device(devices[0], shape, dtype, index, fill)
    return [first, *(jax.device_put(first, device) for device in devices[1:])]


def _on_device(
    device: jax.Device | None, shape: tuple[int, ...], dtype: np.dtype, index: Index, fill: Fill
) -> jax.Array:
    """One part on one device; None is the default one."""
    platform = jax.default_backend() if device is None else device.platform
    if platform == "cpu":
        buffer = aligned_empty(shape, dtype)
        fill(buffer, index)
        return jax.device_put(buffer, device)
    return in_blocks(device, shape, dtype, index, fill)


def in_blocks(
    device: jax.Device | None,
    shape: tuple[int, ...],
    dtype: np.dtype,
    index: Index,
    fill: Fill,
    block_bytes: int = BLOCK_BYTES,
) -> jax.Array:
    """One part on a device with memory of its own, sent in blocks of leading entries."""
    entry = math.prod(shape[1:]) * np.dtype(dtype).itemsize
    rows = max(1, block_bytes // max(entry, 1))
    if not shape or shape[0] <= rows:
        block = np.empty(shape, dtype)
        fill(block, index)
        return jax.device_put(block, device)
    staging = np.empty((rows, *shape[1:]), dtype)
    whole = jax.device_put(jnp.zeros(shape, dtype, device=device), device)
    for start in range(0, shape[0], rows):
        block = staging[: min(rows, shape[0] - start)]
        first = index[0].start + start
        fill(block, (slice(first, first + len(block)), *index[1:]))
        # Not aliased and waited for, because the staging memory is written again.
        sent = jax.device_put(block, device, may_alias=False)
        whole = _write(whole, sent, start).block_until_ready()
    return whole


@functools.partial(jax.jit, donate_argnums=0)
def _write(whole: jax.Array, block: jax.Array, start: int) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(whole, block, start, 0)
