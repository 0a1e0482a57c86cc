"""Both implementations find what a stable sort of all features finds."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.kernels.encode_top_k import encode_top_k


def relu(p):
    return jnp.maximum(p, 0)


def jumprelu(p, threshold):
    return jnp.where(p > threshold, p, 0)


def wanted(x, encoder, bias, threshold, k, activation):
    p = x @ encoder + bias
    f = np.maximum(p, 0) if activation is relu else np.where(p > threshold, p, 0)
    ids = np.stack([np.lexsort((np.arange(f.shape[1]), -row))[:k] for row in f])
    return np.take_along_axis(f, ids, axis=1), ids


@pytest.mark.parametrize("implementation", ["xla", "pallas"])
@pytest.mark.parametrize("activation", [relu, jumprelu])
@pytest.mark.parametrize(("b", "d", "features", "k"), [(3, 40, 300, 5), (17, 32, 2100, 20), (1, 3, 7, 7)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_strongest_are_those_of_a_sort(implementation, activation, b, d, features, k, dtype):
    """Whole numbers, so that there are ties and no rounding."""
    rng = np.random.default_rng(0)
    x, encoder = rng.integers(-1, 2, (b, d)), rng.integers(-1, 2, (d, features))
    bias, threshold = rng.integers(-9, -4, features), rng.integers(0, 4, features)
    parameters = (jnp.asarray(threshold, dtype),) if activation is jumprelu else ()
    arrays = (jnp.asarray(each, dtype) for each in (x, encoder, bias))
    values, ids = encode_top_k(*arrays, parameters, activation=activation, k=k, implementation=implementation)
    best, at = wanted(x, encoder, bias, threshold, k, activation)
    assert values.dtype == dtype
    np.testing.assert_array_equal(ids, at)
    np.testing.assert_array_equal(values.astype(jnp.float32), best)


@pytest.mark.parametrize("implementation", ["xla", "pallas"])
def test_what_is_not_finite_is_found(implementation):
    x = jnp.asarray([[1.0], [np.nan]])
    encoder = jnp.asarray([[1.0, np.inf, 2.0, -np.inf, np.nan]])
    values, ids = encode_top_k(x, encoder, jnp.zeros(5), activation=lambda p: p, k=5, implementation=implementation)
    np.testing.assert_array_equal(ids, [[4, 1, 2, 0, 3], [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(values, [[np.nan, np.inf, 2, 1, -np.inf], [np.nan] * 5])


def test_too_many_are_refused():
    with pytest.raises(ValueError, match="k: got 6; the dictionary has 5 features, so 1 to that many"):
        encode_top_k(jnp.ones((1, 1)), jnp.ones((1, 5)), jnp.ones(5), activation=relu, k=6)
