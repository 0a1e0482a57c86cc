"""Both forms find the threshold that a sort finds; ties, tiny vocabularies and what is no number included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.kernels.top_p import ANY, top_p_threshold
from causeway.kernels.top_p.digits import search
from causeway.kernels.top_p.pallas import TILE
from causeway.kernels.top_p.xla import by_digits

by_digits = jax.jit(by_digits, static_argnames="found")
FORMS = ["xla", "pallas"]


def sorted_threshold(row, share):
    """The weight at which the sum of the largest ones, taken in float64, first holds the share."""
    largest = np.sort(row.astype(np.float64))[::-1]
    return largest[np.argmax(np.cumsum(largest) >= np.float32(share) * largest.sum())]


def dyadic(rows, tokens, seed=0):
    """Weights whose sums are exact in float32, so that no rounding decides what is in; many of them tie."""
    return np.random.default_rng(seed).integers(0, 50, (rows, tokens)).astype(np.float32) / 64


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("tokens", [1, 2, 37, TILE, TILE + 5])
def test_the_threshold_is_that_of_a_sort(implementation, tokens):
    weights = dyadic(3, tokens) + np.float32(1 / 64)
    for share in (2**-20, 0.25, 0.5, 0.875, 1.0):
        found = top_p_threshold(jnp.asarray(weights), share, implementation=implementation)
        np.testing.assert_array_equal(found[:, 0], [sorted_threshold(row, share) for row in weights])


@pytest.mark.parametrize("implementation", FORMS)
def test_weights_of_any_size_have_one(implementation):
    """From the least normal number to a sum that just fits; what holds nothing is not needed."""
    tiny, huge = np.finfo(np.float32).tiny, np.float32(2.0**126)
    weights = jnp.asarray([[tiny, 0, 0], [huge, huge, 0], [1, 2**-23, 0]], jnp.float32)
    found = top_p_threshold(weights, 1.0, implementation=implementation)
    np.testing.assert_array_equal(found[:, 0], [tiny, huge, 2**-23])


@pytest.mark.parametrize("implementation", FORMS)
def test_a_row_that_holds_nan_disturbs_no_other(implementation):
    weights = dyadic(3, 40)
    clean = top_p_threshold(jnp.asarray(weights), 0.9, implementation=implementation)
    weights[1, 7] = np.nan
    found = top_p_threshold(jnp.asarray(weights), 0.9, implementation=implementation)
    np.testing.assert_array_equal(found[:, 0], [clean[0, 0], 0, clean[2, 0]])


@pytest.mark.parametrize("tokens", [200, 3 << 14])
@pytest.mark.parametrize("between", [(0.0, ANY), (2.0**-8, 1.0)])
def test_how_many_bits_a_pass_decides_and_between_which_bounds_does_not_matter(tokens, between):
    """Rows that are summed in parts among them."""
    weights = jnp.asarray(dyadic(4, tokens))
    needed = jnp.asarray([[0.1], [7.0], [30.0], [0.5]])
    expected = by_digits(weights, needed, search((0.0, ANY), 1))
    for digit in (1, 2, 3, 4):
        np.testing.assert_array_equal(by_digits(weights, needed, search(between, digit)), expected)


@pytest.mark.parametrize("implementation", FORMS)
@pytest.mark.parametrize("bound", [1 / 64, 0.5])
def test_the_threshold_may_be_either_bound(implementation, bound):
    weights = jnp.asarray([[bound, bound, 2 * bound, 0]], jnp.float32)
    for share, expected in ((1.0, bound), (0.5, 2 * bound)):
        found = top_p_threshold(weights, share, between=(bound, 2 * bound), implementation=implementation)
        np.testing.assert_array_equal(found, expected)
