"""Stacks of batches: every part comes back once with its own result, whatever their number and the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from causeway.engine.devices import local_parallel
from causeway.engine.mesh import MODEL
from causeway.engine.outcome.stacks import MOST_BATCHES, MOST_NUMBERS, capacity, in_turn, run_stacks


def _doubled(factor, stack):
    return in_turn(lambda own: factor * own, stack, (2, 3), jnp.float32)


@pytest.mark.parametrize(("devices", "mode"), [(1, "shard_map"), (3, "shard_map"), (3, "pmap")])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_every_part_comes_back_once_with_its_own_result(devices, mode, count):
    parallel = local_parallel(devices, mode)
    parts = [(number, np.full((2, 3), number, np.float32)) for number in range(count)]
    program = parallel.program(_doubled)
    found = list(run_stacks(lambda own: program(2.0, own), parts, lambda number: number % 2, 2, parallel))
    assert sorted(number for number, _, _ in found) == list(range(count))
    for number, own, result in found:
        np.testing.assert_array_equal(own, parts[number][1])
        np.testing.assert_array_equal(result, 2 * own)


def _through(matrix, stack):
    return in_turn(lambda own: own @ matrix, stack, (2, 3), jnp.float32)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_devices_that_compute_a_batch_together_take_as_many_turns(count):
    parallel = local_parallel(4, model=2)
    # What is summed over lies on both devices of a place, so each turn sends messages.
    matrix = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    placed = jax.device_put(matrix, NamedSharding(parallel.mesh, PartitionSpec(MODEL)))
    parts = [(number, np.full((2, 4), number, np.float32)) for number in range(count)]
    program, turns = parallel.program(_through), []

    def counted(own):
        turns.append(np.asarray(own.taken).tolist())
        return program(placed, own)

    found = list(run_stacks(counted, parts, lambda number: 0, 3, parallel))
    assert all(one == other for one, other in turns)
    assert sorted(number for number, _, _ in found) == list(range(count))
    for _, own, result in found:
        np.testing.assert_allclose(result, own @ matrix, rtol=1e-5, atol=1e-6)


def test_a_stack_is_as_high_as_its_results_have_room():
    assert capacity(1) == MOST_BATCHES
    assert capacity(MOST_NUMBERS) == capacity(10 * MOST_NUMBERS) == 1
