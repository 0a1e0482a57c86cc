"""Activation kinds at their boundaries, and against their definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary import activations


def test_jumprelu_is_strict_and_literal():
    above = np.nextafter(np.float32(0.5), np.float32(1))
    p = jnp.asarray([0.5, above, 0.4, -0.2, 0.1, -1.0, 0.0], jnp.float32)
    threshold = jnp.asarray([0.5, 0.5, 0.5, -1.0, -1.0, -1.0, 0.0], jnp.float32)
    np.testing.assert_array_equal(activations.jumprelu(p, threshold), [0, above, 0, p[3], p[4], 0, 0])


def test_the_gate_is_strict_and_decides_alone():
    p, zero = jnp.asarray([-1.0, -1.0, 1.0, 1.0]), jnp.zeros(4)
    gate = jnp.asarray([1.0, 2.0, 0.0, 0.0])
    magnitude = jnp.asarray([5.0, 5.0, 0.5, -3.0])
    np.testing.assert_allclose(activations.gated(p, zero, gate, magnitude), [0, 4, 1.5, 0])
    np.testing.assert_allclose(activations.gated(p, zero + np.log(2.0), gate, magnitude), [0, 3, 2.5, 0], rtol=1e-6)


TIES = jnp.asarray(
    [[1.0, 3.0, 3.0, 3.0, 0.5, 0.0], [-1.0, -2.0, 0.2, -0.5, -3.0, -1.5], [2.0, -2.0, 2.0, 2.0, -2.0, 2.0]]
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("topk", [[0, 3, 3, 0, 0, 0], [0, 0, 0.2, 0, 0, 0], [2, 0, 2, 0, 0, 0]]),
        ("topk_signed", [[0, 3, 3, 0, 0, 0], [0, 0, 0.2, -0.5, 0, 0], [2, 0, 2, 0, 0, 0]]),
        ("abstopk", [[0, 3, 3, 0, 0, 0], [0, -2, 0, 0, -3, 0], [2, -2, 0, 0, 0, 0]]),
        ("groupmax", [[0, 3, 0, 3, 0, 0], [0, 0, 0.2, 0, 0, 0], [2, 0, 0, 2, 0, 0]]),
    ],
)
def test_ties_go_to_the_lower_index(kind, expected):
    np.testing.assert_allclose(activations.ranked(kind, TIES, 2), expected)


def by_definition(kind: str, p: np.ndarray, k: int) -> np.ndarray:
    """One row at a time, by a stable sort."""
    out = np.zeros_like(p)
    for row, target in zip(p.reshape(-1, p.shape[-1]), out.reshape(-1, p.shape[-1]), strict=True):
        if kind == "groupmax":
            groups = np.split(np.arange(len(row)), k)
            kept = [group[np.argmax(np.maximum(row[group], 0))] for group in groups]
        else:
            kept = np.argsort(-(np.abs(row) if kind == "abstopk" else row), kind="stable")[:k]
        target[kept] = np.maximum(row[kept], 0) if kind in ("topk", "groupmax") else row[kept]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["topk", "topk_signed", "abstopk", "groupmax"])
def test_ranked_kinds_equal_a_sort_whatever_the_leading_shape(kind):
    p = np.random.default_rng(0).standard_normal((3, 4, 56)).astype(np.float32) - 1
    for shaped in (p, p[0], p[0, 0]):
        np.testing.assert_array_equal(activations.ranked(kind, jnp.asarray(shaped), 7), by_definition(kind, shaped, 7))


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "gated"])
def test_elementwise_kinds_keep_the_dtype_of_what_they_read(kind):
    parameters = (jnp.ones(3),) * {"relu": 0, "jumprelu": 1, "gated": 3}[kind]
    assert activations.elementwise(kind, jnp.ones(3, jnp.bfloat16), parameters).dtype == jnp.bfloat16
