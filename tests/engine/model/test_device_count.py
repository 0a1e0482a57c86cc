"""The number of devices, and the way of saying so, change no bit (four CPU devices are forced in tests/conftest.py)."""

import jax
import numpy as np
import pytest

from causeway.engine.devices import local_parallel
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.model.segments import Layout

LAST, ROWS = 8, 11
LAYOUT = Layout(4, (2, 3))


@pytest.fixture(scope="module")
def edit(tiny):
    """Eleven rows, three buckets: neither two nor four devices come out even."""
    layer = np.stack([np.arange(ROWS) % 2 * 2, np.full(ROWS, EMPTY)], axis=1)
    return tiny.make_edit(ROWS, 2, layer=layer, feature=np.arange(ROWS)[:, None], start=LAST, shift=3)


@pytest.fixture(scope="module")
def reference(draw, edit):
    return draw(edit, layout=LAYOUT)


@pytest.mark.parametrize(
    ("count", "mode"),
    [
        (4, "shard_map"),
        (2, "pmap"),
        pytest.param(2, "shard_map", marks=pytest.mark.slow),
    ],
)
def test_devices_and_modes_do_not_change_a_bit(draw, edit, reference, count, mode):
    if len(jax.local_devices()) < count:
        pytest.skip(f"needs {count} devices")
    got = draw(edit, layout=LAYOUT, parallel=local_parallel(count, mode))
    assert (reference.lengths < 5).any()
    np.testing.assert_array_equal(got.tokens, reference.tokens)
    for a, b in zip(got.records, reference.records, strict=True):
        assert a.values.tobytes() == b.values.tobytes()
    for name in ("before", "after", "applied"):
        np.testing.assert_array_equal(getattr(got, name)[0], getattr(reference, name)[0])


def test_devices_that_are_not_there_are_refused(refuses):
    with refuses("devices: got 5; this process has 4"):
        local_parallel(5)
    with refuses("parallel: got 'vmap'; needs one of shard_map, pmap"):
        local_parallel(1, "vmap")
