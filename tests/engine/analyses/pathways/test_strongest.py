"""The two-stage ranking against a stable sort of all entries."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.pathways import readings
from causeway.engine.analyses.pathways.strongest import leading, strongest

ROWS, BLOCKS, PLACES = 5, 12, 7


@pytest.mark.parametrize("k", [1, 4, 12, 40, 84, 100])
@pytest.mark.parametrize("distinct", [3, 10_000])
def test_the_strongest_are_the_first_of_a_stable_sort_of_all(k, distinct):
    drawn = np.random.default_rng(k).integers(-distinct, distinct, (ROWS, BLOCKS, PLACES)).astype(np.float32)
    chosen = np.asarray(leading(jnp.abs(drawn).max(axis=2), k))
    block, place = strongest(jnp.take_along_axis(jnp.asarray(drawn), chosen[..., None], axis=1), k)
    found = np.take_along_axis(chosen, np.asarray(block), axis=1) * PLACES + np.asarray(place)
    wanted = np.argsort(-np.abs(drawn).reshape(ROWS, -1), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("tokens", "entries"), [(8, 1), (24, 1 << 20), (64, 1 << 18), (7, 1), (64, 1 << 24)])
def test_positions_are_read_in_equal_steps_that_fit(tokens, entries):
    step = readings._step(tokens, entries)
    assert tokens % step == 0
    assert step == 1 or (step <= readings.MOST_POSITIONS and step * entries <= readings.STEP_ENTRIES)
    assert step == {8: 8, 24: 8, 7: 1}.get(tokens, 32 if entries < 1 << 20 else 1)
