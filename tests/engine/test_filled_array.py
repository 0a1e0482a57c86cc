import gc
import weakref

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from causeway.engine.filled_array import aligned_empty, filled_array, in_blocks

SHAPE = (4, 6, 8)
VALUES = np.arange(4 * 6 * 8, dtype=np.float32).reshape(SHAPE)


def shardings():
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    specs = [(), ("a",), (None, "b"), ("a", None, "b"), (("a", "b"),), (None, None, ("b", "a"))]
    return [None, SingleDeviceSharding(jax.devices()[2]), *(NamedSharding(mesh, PartitionSpec(*s)) for s in specs)]


@pytest.mark.parametrize("place", range(8))
def test_every_shard_is_filled_with_its_own_part_and_once(place):
    sharding, asked = shardings()[place], []

    def fill(target, index):
        asked.append(index)
        target[...] = VALUES[index]

    array = filled_array(SHAPE, np.float32, sharding, fill)
    np.testing.assert_array_equal(array, VALUES)
    assert sharding is None or array.sharding == sharding
    assert len({str(index) for index in asked}) == len(asked)
    assert sum(VALUES[index].size for index in asked) == VALUES.size


@pytest.mark.slow
def test_jax_takes_the_memory_over_without_a_copy_and_keeps_it():
    kept = []

    def fill(target, index):
        target[...] = VALUES
        kept.append((target.ctypes.data, weakref.ref(target.base)))

    array = filled_array(SHAPE, np.float32, None, fill)
    gc.collect()
    address, alive = kept[0]
    assert array.unsafe_buffer_pointer() == address
    assert alive() is not None
    del array
    gc.collect()
    assert alive() is None


def test_donating_a_filled_array_is_safe():
    buffers = []

    def fill(target, index):
        target[...] = VALUES
        buffers.append(target)

    out = jax.jit(lambda a: a + 1, donate_argnums=0)(filled_array(SHAPE, np.float32, None, fill))
    np.testing.assert_array_equal(out, VALUES + 1)
    np.testing.assert_array_equal(buffers[0], VALUES)


@pytest.mark.parametrize("block_bytes", [1, 6 * 8 * 4 * 3, 1 << 20])
def test_blocks_of_leading_entries_make_the_same_array(block_bytes):
    """What devices with memory of their own do; a block may be one entry, some that do not divide, or all."""
    index = (slice(0, 4), slice(2, 5), slice(0, 8))

    def fill(target, part):
        target[...] = VALUES[part]

    array = in_blocks(jax.devices()[1], (4, 3, 8), np.float32, index, fill, block_bytes)
    np.testing.assert_array_equal(array, VALUES[index])
    assert array.devices() == {jax.devices()[1]}


@pytest.mark.parametrize("shape", [(), (3, 1), (5,)])
def test_aligned_memory(shape):
    memory = aligned_empty(shape, np.float16)
    assert (memory.shape, memory.dtype, memory.ctypes.data % 64) == (shape, np.float16, 0)
