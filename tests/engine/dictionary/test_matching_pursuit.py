"""Greedy pursuit against a loop over tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.matching_pursuit import matching_pursuit

D, F = 8, 20


def by_loop(x, directions, iterations, residual_threshold, stop_on_duplicate):
    """One token at a time, as the definition says it."""
    out = np.zeros((len(x), len(directions)))
    for row, f in zip(x, out, strict=True):
        rest = row.copy()
        for _ in range(iterations):
            support = f != 0
            best = np.argmax(np.maximum(directions @ rest, 0))
            value = max(directions[best] @ rest, 0)
            f[best] += value
            rest = rest - value * directions[best]
            if stop_on_duplicate and ((f != 0) == support).all():
                break
            if residual_threshold and np.linalg.norm(rest) < residual_threshold:
                break
    return out


@pytest.mark.parametrize("iterations", [1, 5, 40])
@pytest.mark.parametrize("residual_threshold", [0.0, 0.5])
@pytest.mark.parametrize("stop_on_duplicate", [False, True])
def test_equals_a_loop_over_tokens(iterations, residual_threshold, stop_on_duplicate):
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((F, D))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    x = rng.standard_normal((30, D)) * rng.uniform(0.1, 3, (30, 1))
    x[3] = 0
    options = (iterations, residual_threshold, stop_on_duplicate)
    with jax.enable_x64(True):
        got = matching_pursuit(jnp.asarray(x), jnp.asarray(directions), *options)
        shaped = matching_pursuit(jnp.asarray(x).reshape(5, 6, D), jnp.asarray(directions), *options)
    np.testing.assert_allclose(got, by_loop(x, directions, *options), atol=1e-12)
    np.testing.assert_array_equal(shaped.reshape(30, F), got)


def test_each_token_stops_by_itself():
    directions = jnp.eye(3)
    x = jnp.asarray([[5.0, 0.1, 0.0], [5.0, 4.0, 3.0]])
    np.testing.assert_allclose(matching_pursuit(x, directions, 10, 0.5, False), [[5, 0, 0], [5, 4, 3]])


def test_a_tie_goes_to_the_lower_index():
    x = jnp.asarray([[1.0, 1.0]])
    np.testing.assert_allclose(matching_pursuit(x, jnp.eye(2), 1, 0.0, True), [[1, 0]])
