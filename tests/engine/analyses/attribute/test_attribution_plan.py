"""Batches hold every row once, in widths that reach its position."""

import numpy as np
import pytest

from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan, batches
from causeway.engine.model.buckets import bucket_width


@pytest.mark.parametrize(
    ("count", "rows", "length"), [(1, 16, 8), (500, 16, 40), (500, 7, 9), (3000, 32, 200), (5000, 16, 100)]
)
def test_batches_hold_every_row_once(count, rows, length):
    rng = np.random.default_rng(count)
    nodes = np.stack([rng.integers(0, 5, count), rng.integers(0, length, count), rng.integers(0, 99, count)], axis=1)
    width = bucket_width(length, 4096)
    cut = list(batches(nodes, rows, width))
    np.testing.assert_array_equal(np.sort(np.concatenate([batch for batch, _ in cut])), np.arange(count))
    assert all(0 < len(batch) <= rows for batch, _ in cut)
    assert all(nodes[batch, 1].max() < needed <= width for batch, needed in cut)
    # A program each: four and the whole, eight where there are many batches.
    assert len({needed for _, needed in cut}) <= (9 if count >= 256 * rows else 5)
    # Short batches cost as much as full ones: at most one a layer.
    assert len(cut) <= -(-count // rows) + 5


def test_the_floor_is_there_for_long_prompts_alone():
    assert AttributionPlan().floor(65_536) == 0
    assert AttributionPlan().floor(65_537) == 1e-5
    assert AttributionPlan(edge_floor=0.01).floor(10) == 0.01
