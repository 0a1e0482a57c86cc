"""Input norms against their equations, and the scale that an edit of a feature needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.input_norm import normalise, restore, scale


def definition(norm, x):
    """(x', mean, factor) in float64."""
    if norm == "layer_norm":
        mean, std = x.mean(-1, keepdims=True), x.std(-1, ddof=1, keepdims=True)
        return (x - mean) / (std + 1e-5), mean, std
    size = np.linalg.norm(x, axis=-1, keepdims=True) / np.sqrt(x.shape[-1])
    return x / size, 0.0, size


@pytest.mark.parametrize("norm", ["layer_norm", "token_norm"])
def test_equals_its_equation(norm):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 5, 12)) * 3 + 1, rng.standard_normal((4, 5, 12))
    inside, mean, factor = definition(norm, x)
    with jax.enable_x64(True):
        np.testing.assert_allclose(normalise(norm, jnp.asarray(x)), inside, atol=1e-12)
        np.testing.assert_allclose(restore(norm, jnp.asarray(y), jnp.asarray(x)), y * factor + mean, atol=1e-12)
        np.testing.assert_allclose(scale(norm, jnp.asarray(x)), factor, atol=1e-12)


@pytest.mark.parametrize("norm", ["none", "layer_norm", "token_norm"])
def test_a_token_of_zeros_stays_finite_and_dtypes_are_kept(norm):
    x = jnp.zeros((2, 8), jnp.bfloat16)
    for got in (normalise(norm, x), restore(norm, x, x), scale(norm, x)):
        assert got.dtype == jnp.bfloat16
        assert np.isfinite(np.asarray(got, np.float32)).all()
    assert scale(norm, x).shape == (2, 1)


def test_without_a_norm_nothing_happens():
    x = jnp.arange(6.0).reshape(2, 3)
    assert normalise("none", x) is x
    np.testing.assert_array_equal(scale("none", x), [[1], [1]])
