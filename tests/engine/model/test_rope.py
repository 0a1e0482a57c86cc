"""Rotary positions against complex multiplication, and the published stretches of their frequencies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.model.config import RopeScaling
from causeway.engine.model.rope import frequencies, rotate

SCALINGS = {
    "default": RopeScaling(),
    "linear": RopeScaling("linear", 4.0),
    "llama3": RopeScaling("llama3", 8.0, 1.0, 4.0, 8192),
}


turn = jax.jit(rotate, static_argnums=(2, 3))


def with_rope(config, scaling, head_dim=64):
    return dataclasses.replace(config, head_dim=head_dim, rope_theta=500000.0, rope_scaling=SCALINGS[scaling])


@pytest.mark.parametrize("scaling", SCALINGS)
def test_frequencies_equal_the_published_formula(tiny, plain, scaling):
    config = with_rope(tiny.CONFIG, scaling)
    np.testing.assert_allclose(frequencies(config), plain.frequencies(config), rtol=1e-13)


def test_llama3_keeps_high_frequencies_divides_low_ones_and_meets_between(tiny):
    ratio = frequencies(with_rope(tiny.CONFIG, "llama3")) / frequencies(with_rope(tiny.CONFIG, "default"))
    assert ratio[0] == 1
    assert ratio[-1] == pytest.approx(1 / 8)
    assert ((ratio > 0.13) & (ratio < 0.99)).any()
    assert (np.diff(ratio) <= 1e-12).all()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_rotation_is_complex_multiplication(tiny, plain, scaling):
    config = with_rope(tiny.CONFIG, scaling, head_dim=8)
    x = np.random.default_rng(0).standard_normal((2, 5, 3, 8))
    positions = np.array([[0, 1, 2, 3, 4], [7, 7, 100, 3, 50]])
    with jax.enable_x64(True):
        got = turn(x, positions, config, jnp.float64)
    expected = [
        [[plain.rotate(x[b, t, h], positions[b, t], config) for h in range(3)] for t in range(5)] for b in range(2)
    ]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_positions_may_be_shared_by_rows_or_by_everything(tiny):
    config = with_rope(tiny.CONFIG, "llama3", head_dim=8)
    x = np.random.default_rng(0).standard_normal((2, 5, 3, 8)).astype(np.float32)
    rows = np.broadcast_to(np.arange(5), (2, 5))
    each = turn(x, rows, config, jnp.float32)
    np.testing.assert_array_equal(turn(x, rows[:1], config, jnp.float32), each)
    np.testing.assert_array_equal(turn(x[:, 3], jnp.int32(3), config, jnp.float32), each[:, 3])


def test_products_of_rotated_vectors_depend_on_the_distance_alone(tiny):
    config = with_rope(tiny.CONFIG, "llama3", head_dim=8)
    q, k = np.random.default_rng(0).standard_normal((2, 1, 1, 8))
    with jax.enable_x64(True):

        def product(s, t):
            turned = [turn(a, np.array([p]), config, jnp.float64) for a, p in ((q, s), (k, t))]
            return float(np.sum(np.multiply(*turned)))

        assert product(9, 4) == pytest.approx(product(35, 30), abs=1e-12)
        assert product(9, 4) != pytest.approx(product(35, 31), abs=1e-3)


def test_the_dtype_of_a_vector_is_kept(tiny):
    config = with_rope(tiny.CONFIG, "default", head_dim=8)
    assert turn(jnp.ones((1, 1, 8), jnp.bfloat16), jnp.array([3]), config, jnp.float32).dtype == jnp.bfloat16
