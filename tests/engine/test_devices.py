"""One program over any devices: the same bits by shard_map, by pmap and on one device; compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.devices import MODES, RowParallel, compilations, local_parallel


def product(shared, own, *, power=1):
    """A row-wise computation whose rounding would show another order of sums."""
    return {"out": jnp.tanh(own @ shared) ** power, "sum": jnp.sum(own, axis=-1)}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 8), np.float32), rng.standard_normal((8, 4, 16), np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_spread_gives_the_same_bits(inputs, count, mode):
    shared, rows = inputs
    one = local_parallel(1)
    expected = [
        jax.device_get(one.program(product)(one.replicate(shared), one.split(rows[i : i + 1]))) for i in range(8)
    ]
    parallel = local_parallel(count, mode)
    assert parallel.count == count
    for i in range(0, 8, count):
        got = parallel.program(product)(parallel.replicate(shared), parallel.split(rows[i : i + count]))
        assert got["out"].shape == (count, 4, 8)
        for device in range(count):
            for name in ("out", "sum"):
                assert np.asarray(got[name][device]).tobytes() == expected[i + device][name][0].tobytes()


def test_slices_lie_on_their_own_devices(inputs):
    shared, rows = inputs
    parallel = local_parallel(4)
    assert parallel.replicate(shared).sharding.device_set == set(parallel.devices)
    placed = parallel.split(rows[:4])
    assert [s.data.shape for s in placed.addressable_shards] == [(1, 4, 16)] * 4
    assert len({s.device for s in placed.addressable_shards}) == 4


def test_a_program_is_compiled_once_for_its_static_arguments_and_shapes(inputs):
    shared, rows = inputs
    parallel = local_parallel(2)
    before = compilations(product)
    for _ in range(3):
        program = local_parallel(2).program(product, power=3)
        program(parallel.replicate(shared), parallel.split(rows[:2]))
    assert compilations(product) == before + 1
    program(parallel.replicate(shared), parallel.split(rows[:2, :3]))
    assert compilations(product) == before + 2


def test_by_default_all_devices_are_used():
    assert local_parallel() == RowParallel(tuple(jax.local_devices()))
    assert local_parallel(2).devices == tuple(jax.local_devices()[:2])


def test_devices_and_modes_that_are_not_there_are_refused(refuses):
    for count in (0, -1, len(jax.local_devices()) + 1):
        with refuses(f"devices: got {count}; this process has"):
            local_parallel(count)
    with refuses("parallel: got 'vmap'; needs one of shard_map, pmap"):
        local_parallel(1, "vmap")


def test_parts_are_dealt_in_order_and_come_back_apart():
    parallel = local_parallel(4)
    assert parallel.deal(list("abcdef")) == [list("abcd"), list("ef")]
    assert parallel.deal(list("abcdef"), filler="-") == [list("abcd"), list("ef--")]
    assert parallel.deal([], filler="-") == []
    parts = [{"x": np.full(3, i), "y": jnp.int32(i)} for i in range(2)]
    placed = parallel.place(parts)
    np.testing.assert_array_equal(placed["y"], [0, 1, 0, 0])
    assert len(placed["x"].sharding.device_set) == 4
    for part, back in zip(parts, parallel.apart(placed, 2), strict=True):
        np.testing.assert_array_equal(back["x"], part["x"])
