"""Both forms of the fold give what a loop over prompts, layers, heads and neurons gives."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.kernels.second_order_fold import second_order_fold


@pytest.mark.parametrize("implementation", ["xla", "pallas"])
@pytest.mark.parametrize(("layers", "heads", "tokens", "neurons"), [(2, 3, 9, 5), (1, 1, 1, 1), (3, 17, 16, 130)])
def test_codes_are_those_of_a_loop(implementation, layers, heads, tokens, neurons):
    rng = np.random.default_rng(0)
    pattern = rng.random((2, layers, heads, tokens, tokens)).astype(np.float32)
    scale = rng.random((2, layers, tokens)).astype(np.float32)
    activations = rng.standard_normal((2, tokens, neurons)).astype(np.float32)
    position = np.array([tokens - 1, tokens // 2])
    wanted = np.zeros((2, neurons, layers * heads))
    for b, layer, head in np.ndindex(2, layers, heads):
        weights = pattern[b, layer, head, position[b]] * scale[b, layer]
        wanted[b, :, layer * heads + head] = weights @ activations[b]
    found = second_order_fold(*map(jnp.asarray, (pattern, position, scale, activations)), implementation=implementation)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
