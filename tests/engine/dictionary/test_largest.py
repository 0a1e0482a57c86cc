"""The largest features are the same whether the features are split or not, ties and their order among them."""

import jax
import numpy as np
import pytest

from causeway.engine.devices import local_parallel
from causeway.engine.dictionary.largest import largest
from causeway.engine.mesh import split


def _largest(shared, own, *, k):
    return largest(own * shared, k)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("k", [1, 5, 11])
def test_features_in_parts_have_the_same_largest_ones_in_the_same_order(parts, k):
    parallel = local_parallel(4, model=parts)
    # Whole numbers, most of them 0: ties within parts and between them. A part may have fewer than k features.
    x = np.random.default_rng(k).integers(-2, 3, (parallel.count, 3, 5, 24)).clip(0).astype(np.float32)
    ones = jax.device_put(np.ones(24, np.float32), split(parallel.mesh, (24,), 0, "features", "x"))
    values, places = parallel.program(_largest, k=k)(ones, parallel.split(x))
    expected = jax.lax.top_k(x, k)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(places, expected[1])


def test_what_a_mesh_does_not_divide_is_taken_whole():
    parallel = local_parallel(2, model=2)
    x = np.arange(14, dtype=np.float32).reshape(1, 2, 7)
    np.testing.assert_array_equal(parallel.program(_largest, k=3)(np.ones(7, np.float32), x)[1], [[[6, 5, 4]] * 2])
