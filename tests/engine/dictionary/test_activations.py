"""Activation kinds at their boundaries, and against their definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary import activations


def test_jumprelu_is_strict_and_never_negative():
    p = jnp.asarray([0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.4, -0.2, 0.1], jnp.float32)
    threshold = jnp.asarray([0.5, 0.5, 0.5, -1.0, -1.0], jnp.float32)
    np.testing.assert_array_equal(activations.jumprelu(p, threshold), [0, p[1], 0, 0, p[4]])


def test_the_gate_is_strict_and_decides_alone():
    p, zero = jnp.asarray([-1.0, -1.0, 1.0, 1.0]), jnp.zeros(4)
    gate = jnp.asarray([1.0, 2.0, 0.0, 0.0])
    magnitude = jnp.asarray([5.0, 5.0, 0.5, -3.0])
    np.testing.assert_allclose(activations.gated(p, zero, gate, magnitude), [0, 4, 1.5, 0])
    np.testing.assert_allclose(activations.gated(p, zero + np.log(2.0), gate, magnitude), [0, 3, 2.5, 0], rtol=1e-6)


def test_topk_breaks_ties_by_the_lower_index_and_cuts_negatives():
    p = jnp.asarray([[1.0, 3.0, 3.0, 3.0, 0.5], [-1.0, -2.0, 0.2, -0.5, -3.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    expected = [[0, 3, 3, 0, 0], [0, 0, 0.2, 0, 0], [2, 2, 0, 0, 0]]
    np.testing.assert_allclose(activations.topk(p, 2), expected)


def test_topk_equals_a_sort_whatever_the_leading_shape():
    p = np.random.default_rng(0).standard_normal((3, 4, 50)).astype(np.float32)
    expected = np.where(p >= np.sort(p, axis=-1)[..., -7, None], np.maximum(p, 0), 0)
    np.testing.assert_array_equal(activations.topk(jnp.asarray(p), 7), expected)


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "gated"])
def test_elementwise_kinds_keep_the_dtype_of_what_they_read(kind):
    parameters = (jnp.ones(3),) * {"relu": 0, "jumprelu": 1, "gated": 3}[kind]
    assert activations.elementwise(kind, jnp.ones(3, jnp.bfloat16), parameters).dtype == jnp.bfloat16
