"""Both implementations write what a loop over tokens and features writes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.kernels.sparse_decode import sparse_decode


@pytest.mark.parametrize("implementation", ["xla", "pallas"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("b", "k", "features", "out"), [(3, 5, 40, 700), (1, 1, 1, 1), (4, 9, 6, 512)])
def test_what_is_written_is_that_of_a_loop(implementation, dtype, b, k, features, out):
    """Ids are drawn with replacement: one that occurs twice counts twice."""
    rng = np.random.default_rng(0)
    values, ids = jnp.asarray(rng.standard_normal((b, k)), dtype), jnp.asarray(rng.integers(0, features, (b, k)))
    decoder = jnp.asarray(rng.standard_normal((features, out)), dtype)
    wanted = np.zeros((b, out))
    for row, place in np.ndindex(b, k):
        wanted[row] += float(values[row, place]) * np.asarray(decoder, np.float64)[ids[row, place]]
    found = sparse_decode(values, ids, decoder, implementation=implementation)
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(found.astype(jnp.float32), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("implementation", ["xla", "pallas"])
def test_what_is_not_finite_stays_with_its_token(implementation):
    decoder = jnp.asarray([[1.0, 2.0], [np.inf, np.nan]])
    found = sparse_decode(jnp.ones((2, 1)), jnp.asarray([[0], [1]]), decoder, implementation=implementation)
    np.testing.assert_array_equal(found, [[1, 2], [np.inf, np.nan]])


def test_rows_of_all_features_are_never_gathered_at_once():
    """The program keeps [B, O] and no [B, k, O]."""
    shapes = jax.ShapeDtypeStruct((8, 64), jnp.float32), jax.ShapeDtypeStruct((8, 64), jnp.int32)
    decoder = jax.ShapeDtypeStruct((100, 256), jnp.float32)
    memory = jax.jit(sparse_decode).lower(*shapes, decoder).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 8 * 64 * 256 * 4 / 4
