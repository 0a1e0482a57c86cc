"""Training activations: forward equal to inference, gradients as the formulas say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary import activations
from causeway.engine.train import sparsity

BANDWIDTH = 0.4


@pytest.fixture(scope="module")
def p():
    return jnp.asarray(np.random.default_rng(0).standard_normal((2, 30, 12)), jnp.float32)


@pytest.fixture(scope="module")
def threshold():
    return jnp.asarray(np.random.default_rng(1).uniform(0.1, 1.0, (2, 12)), jnp.float32)


def test_jumprelu_is_inference_forward_and_a_ramp_backward(p, threshold):
    weight = np.random.default_rng(2).standard_normal(p.shape).astype(np.float32)
    f, back = jax.vjp(lambda p, t: sparsity.jumprelu(p, t, BANDWIDTH), p, threshold)
    np.testing.assert_array_equal(f, activations.jumprelu(p, threshold[:, None]))
    dp, dt = back(jnp.asarray(weight))
    p, t = np.asarray(p), np.asarray(threshold)[:, None]
    np.testing.assert_array_equal(dp, np.where(p > t, weight, 0))
    near = abs(p - t) < BANDWIDTH / 2
    np.testing.assert_allclose(dt, -(t / BANDWIDTH * weight * near).sum(1), rtol=1e-5)


def test_l0_counts_and_its_gradient_lowers_it(p, threshold):
    l0, back = jax.vjp(lambda p, t: sparsity.mean_active(p, t, BANDWIDTH), p, threshold)
    np.testing.assert_allclose(l0, (np.asarray(p) > np.asarray(threshold)[:, None]).sum(-1).mean(-1), rtol=1e-6)
    dp, dt = back(jnp.ones(2))
    assert not dp.any()
    # The ramp's slope is the share of values near the threshold per unit of threshold.
    near = abs(np.asarray(p) - np.asarray(threshold)[:, None]) < BANDWIDTH / 2
    np.testing.assert_allclose(dt, -near.mean(1) / BANDWIDTH, rtol=1e-5)


def test_topk_is_inference_topk(p):
    np.testing.assert_array_equal(sparsity.topk(p, 4), activations.topk(p, 4))


@pytest.mark.parametrize("k", [0.5, 3.0, 12.0])
def test_batchtopk_keeps_the_largest_of_the_batch(p, k):
    f, threshold = sparsity.batchtopk(p, k)
    for layer in range(2):
        values = np.asarray(p[layer])
        kept, positive = np.asarray(f[layer] > 0), values > 0
        assert abs(kept.sum() - min(round(k * p.shape[1]), positive.sum())) <= 1
        assert values[kept].min() > threshold[layer] >= np.max(values[positive & ~kept], initial=0)
