"""Stacks of batches: every part comes back once with its own result, whatever their number and the devices."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.devices import local_parallel
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


def test_a_stack_is_as_high_as_its_results_have_room():
    assert capacity(1) == MOST_BATCHES
    assert capacity(MOST_NUMBERS) == capacity(10 * MOST_NUMBERS) == 1
