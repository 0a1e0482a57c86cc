"""Directions found among codes are those of the explicit effects [P, D], and no stream of batches changes them."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.sparse.code_moments import CodeMoments, gram_of, moments_of, total_variance, varies
from causeway.engine.sparse.gram_pca import (
    directions_of,
    eigenvectors,
    group_loadings,
    loadings_of,
    loadings_of_vectors,
    principal,
    random_share,
    ranks,
    share_explained,
    vectors_of,
)
from causeway.engine.sparse.largest_rows import (
    LargestRows,
    check_rows,
    effect_norms,
    first_direction,
    oriented,
    with_rows,
)

PROMPTS, NEURONS, CODES, WIDTH = 50, 4, 6, 9


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def random_loadings(key, gram, draws):
    """Loadings of unit directions drawn uniformly from the row space of M.

    With G = U diag(w) U', M = U sqrt(w) Q for some Q of orthonormal rows; v = z Q for a unit z, and M v = U sqrt(w) z.
    """
    values, vectors = eigenvectors(gram)
    values = jnp.where(values > jnp.finfo(gram.dtype).eps * gram.shape[-1] * values[:, -1:], values, 0)
    z = jax.random.normal(key, (len(gram), draws, gram.shape[-1]), gram.dtype) * (values > 0)[:, None, :]
    z = z / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), jnp.finfo(gram.dtype).tiny)
    return jnp.einsum("nkj,nj,ncj->nck", vectors, jnp.sqrt(values), z)


def make(seed=0, codes=CODES, width=WIDTH, rank=None):
    """Codes with a mean, and matrices, of a lower rank where one is given."""
    rng = np.random.default_rng(seed)
    s = rng.standard_normal((PROMPTS, NEURONS, codes)) * np.linspace(0.2, 2, codes) + rng.standard_normal(codes)
    matrix = rng.standard_normal((NEURONS, codes, width))
    if rank:
        matrix = rng.standard_normal((NEURONS, codes, rank)) @ rng.standard_normal((NEURONS, rank, width))
    return s, matrix


def dense(s, matrix):
    """The effects themselves, which nothing else makes."""
    return np.einsum("pnk,nkd->npd", s, matrix)


SHAPES = [{}, {"rank": 3}, {"codes": 14}, {"codes": 14, "rank": 4}, {"codes": 1}]


@pytest.mark.parametrize("shape", SHAPES)
def test_principal_directions_are_those_of_the_explicit_effects(shape):
    s, matrix = make(**shape)
    gram, moments = gram_of(jnp.asarray(matrix)), moments_of(jnp.asarray(s))
    count = min(2, s.shape[2], shape.get("rank", 2))
    found = principal(moments.covariance, gram, count)
    vectors = np.asarray(vectors_of(found.coefficients, jnp.asarray(matrix)))
    for n, phi in enumerate(dense(s, matrix)):
        off = phi - phi.mean(axis=0)
        _, singular, right = np.linalg.svd(off, full_matrices=False)
        np.testing.assert_allclose(found.variance[n], singular[:count] ** 2 / (PROMPTS - 1), rtol=1e-10)
        np.testing.assert_allclose(np.abs(np.sum(vectors[n] * right[:count], axis=1)), 1, atol=1e-10)
        np.testing.assert_allclose(np.linalg.norm(vectors[n], axis=1), 1, atol=1e-10)
        np.testing.assert_allclose(
            total_variance(moments.covariance, gram)[n], off.var(axis=0, ddof=1).sum(), rtol=1e-10
        )


@pytest.mark.slow
def test_moments_of_a_stream_are_those_of_all_prompts_at_once():
    s, _ = make()
    whole = moments_of(jnp.asarray(s))
    parts = [moments_of(jnp.asarray(part)) for part in np.split(s, [7, 8, 31])]
    empty = CodeMoments.empty(NEURONS, CODES, jnp.float64)
    merged = functools.reduce(operator.add, [empty, *parts, empty])
    for name in ("count", "mean", "m2"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-12, atol=1e-12)
    for n in range(NEURONS):
        np.testing.assert_allclose(whole.covariance[n], np.cov(s[:, n].T), rtol=1e-12, atol=1e-12)


def test_a_large_mean_costs_no_digits():
    s, _ = make()
    far = functools.reduce(operator.add, [moments_of(jnp.asarray(p + 1e6)) for p in np.split(s, 5)])
    np.testing.assert_allclose(far.covariance, moments_of(jnp.asarray(s)).covariance, atol=1e-8)


@pytest.mark.slow
def test_rows_that_fill_a_batch_up_count_for_nothing():
    s, matrix = make()
    filled = np.concatenate([s, np.full((3, NEURONS, CODES), np.nan)])
    there = jnp.arange(len(filled)) < PROMPTS
    gram, moments = gram_of(jnp.asarray(matrix)), moments_of(jnp.asarray(s))
    padded = moments_of(jnp.asarray(filled), there)
    np.testing.assert_allclose(padded.m2, moments.m2, atol=1e-12)
    numbers = jnp.arange(len(filled))
    empty = LargestRows.empty(NEURONS, 5, CODES, jnp.float64)
    ours = with_rows(empty, jnp.asarray(filled), numbers, moments.mean, gram, there)
    theirs = with_rows(empty, jnp.asarray(s), numbers[:PROMPTS], moments.mean, gram)
    np.testing.assert_array_equal(ours.prompt, theirs.prompt)
    np.testing.assert_array_equal(ours.deviations, theirs.deviations)


# Of an odd number of rows more than half are positive or negative.
@pytest.mark.parametrize("shape", SHAPES[:4])
def test_the_largest_effects_are_those_that_sorting_all_gives(shape):
    s, matrix = make(**shape)
    phi = dense(s, matrix)
    gram, mean = gram_of(jnp.asarray(matrix)), jnp.asarray(s.mean(axis=0))
    largest = LargestRows.empty(NEURONS, 7, s.shape[2], jnp.float64)
    for part in np.array_split(np.arange(PROMPTS), [3, 20, 41]):
        largest = jax.jit(with_rows)(largest, jnp.asarray(s[part]), part, mean, gram)
    assert largest.whole
    found = first_direction(largest, gram)
    vectors = np.asarray(vectors_of(found.coefficients, jnp.asarray(matrix)))[:, 0]
    for n in range(NEURONS):
        off = phi[n] - phi[n].mean(axis=0)
        norms = np.linalg.norm(off, axis=1)
        order = np.argsort(norms)[-7:]
        np.testing.assert_allclose(largest.norms[n], norms[order], rtol=1e-10)
        assert largest.prompt[n].tolist() == order.tolist()
        # As published: singular vectors of these rows, not centred again, and their sign.
        _, singular, right = np.linalg.svd(off[order], full_matrices=False)
        first = right[0] if (off[order] @ right[0] > 0).sum() > 7 // 2 else -right[0]
        np.testing.assert_allclose(vectors[n], first, atol=1e-10)
        np.testing.assert_allclose(found.variance[n, 0], singular[0] ** 2, rtol=1e-10)
    np.testing.assert_allclose(
        effect_norms(jnp.asarray(s), mean, gram), np.linalg.norm(phi - phi.mean(1, keepdims=True), axis=2).T, rtol=1e-9
    )


def test_of_equal_effects_the_earlier_prompts_are_kept():
    s, matrix = np.ones((6, 1, 2)), jnp.eye(2)[None]
    largest = LargestRows.empty(1, 3, 2, jnp.float64)
    for part in ([0, 1], [2, 3], [4, 5]):
        largest = with_rows(largest, jnp.asarray(s[part]), np.array(part), jnp.zeros((1, 2)), gram_of(matrix))
    assert sorted(largest.prompt[0].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("k", [7, 8])
def test_directions_of_either_sign_are_turned_to_the_side_of_most_large_effects(k):
    s, matrix = make()
    gram, moments = gram_of(jnp.asarray(matrix)), moments_of(jnp.asarray(s))
    empty = LargestRows.empty(NEURONS, k, CODES, jnp.float64)
    largest = with_rows(empty, jnp.asarray(s), np.arange(PROMPTS), moments.mean, gram)
    found = principal(moments.covariance, gram, 3).coefficients
    ours, other = oriented(found, largest, gram), oriented(-found, largest, gram)
    np.testing.assert_array_equal(ours, other)
    positive = jnp.einsum("njk,nck->ncj", largest.deviations, loadings_of(ours, gram)) > 0
    assert (positive.sum(axis=2) >= 4).all()


@pytest.mark.slow
def test_shares_are_those_of_projections_on_other_prompts():
    s, matrix = make()
    train, held = moments_of(jnp.asarray(s[:30])), moments_of(jnp.asarray(s[30:]))
    gram = gram_of(jnp.asarray(matrix))
    found = principal(train.covariance, gram, 2)
    loadings = loadings_of(found.coefficients, gram)
    share = share_explained(loadings, held.covariance, gram)
    vectors = vectors_of(found.coefficients, jnp.asarray(matrix))
    np.testing.assert_allclose(loadings_of_vectors(vectors, jnp.asarray(matrix)), loadings, atol=1e-12)
    for n, phi in enumerate(dense(s[30:], matrix)):
        along = (phi @ np.asarray(vectors[n]).T).var(axis=0, ddof=1)
        np.testing.assert_allclose(share[n], along / phi.var(axis=0, ddof=1).sum(), rtol=1e-10)
    # On the prompts that chose it, the first direction has more than any other.
    own = share_explained(loadings, train.covariance, gram)
    others = share_explained(random_loadings(jax.random.key(0), gram, 200), train.covariance, gram)
    assert (np.asarray(own[:, :1]) >= np.asarray(others)).all()


@pytest.mark.parametrize("shape", [{}, {"rank": 3}, {"codes": 14}])
def test_a_random_direction_has_one_part_in_the_rank_on_average(shape):
    s, matrix = make(**shape)
    gram, moments = gram_of(jnp.asarray(matrix)), moments_of(jnp.asarray(s))
    rank = np.linalg.matrix_rank(matrix[0])
    assert ranks(gram).tolist() == [rank] * NEURONS
    np.testing.assert_allclose(random_share(gram), 1 / rank)
    drawn = share_explained(random_loadings(jax.random.key(1), gram, 4000), moments.covariance, gram)
    error = np.asarray(drawn).std(axis=1) / np.sqrt(4000)
    assert (np.abs(np.asarray(drawn).mean(axis=1) - 1 / rank) < 4 * error).all()
    # And they are the loadings of unit vectors: M v of v = v M^+ M.
    some = np.asarray(random_loadings(jax.random.key(2), gram, 3))
    for n in range(NEURONS):
        v = some[n] @ np.linalg.pinv(matrix[n]).T
        np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=1e-7)


@pytest.mark.parametrize("groups", [6, 3, 1])
def test_a_group_of_codes_alone_has_the_first_direction_of_its_own_effect(groups):
    s, matrix = make()
    gram, moments = gram_of(jnp.asarray(matrix)), moments_of(jnp.asarray(s))
    found = np.asarray(group_loadings(moments.covariance, gram, groups))
    size = CODES // groups
    for n in range(NEURONS):
        for h in range(groups):
            own = slice(h * size, (h + 1) * size)
            phi = s[:, n, own] @ matrix[n, own]
            v = np.linalg.svd(phi - phi.mean(axis=0), full_matrices=False)[2][0]
            wanted = matrix[n] @ v
            np.testing.assert_allclose(found[n, h] * np.sign(found[n, h] @ wanted), wanted, atol=1e-9)
    if groups == 1:
        np.testing.assert_allclose(
            np.abs(found), np.abs(loadings_of(principal(moments.covariance, gram).coefficients, gram)), atol=1e-9
        )
    with pytest.raises(ValueError, match="groups: got 4; needs a divisor of the 6 codes"):
        group_loadings(moments.covariance, gram, 4)


@pytest.mark.slow
def test_neurons_that_do_not_vary_are_told_and_are_no_nan():
    s, matrix = make()
    s[:, 1] = s[0, 1]
    matrix[2] = 0
    gram, moments = gram_of(jnp.asarray(matrix)), moments_of(jnp.asarray(s))
    assert varies(moments, gram).tolist() == [True, False, False, True]
    found = principal(moments.covariance, gram, 2)
    largest = with_rows(
        LargestRows.empty(NEURONS, 4, CODES, jnp.float64), jnp.asarray(s), np.arange(PROMPTS), moments.mean, gram
    )
    ours = [
        found.coefficients, found.variance, *first_direction(largest, gram), random_share(gram),
        share_explained(loadings_of(found.coefficients, gram), moments.covariance, gram),
        random_loadings(jax.random.key(0), gram, 3), group_loadings(moments.covariance, gram, 3),
    ]  # fmt: skip
    assert all(bool(jnp.isfinite(array).all()) for array in ours)
    assert not found.coefficients[2].any()


def test_dependent_rows_have_no_further_direction():
    rows = np.outer([1.0, 2.0, -3.0], [1.0, 0.5])
    found = directions_of(jnp.asarray(rows.T)[None], jnp.eye(2)[None], 2)
    assert found.variance[0, 0] == pytest.approx((rows**2).sum())
    assert not found.coefficients[0, 1].any()
    assert found.variance[0, 1] == 0


def test_one_prompt_has_no_covariance_and_too_few_are_refused():
    s, matrix = make()
    one = moments_of(jnp.asarray(s[:1]))
    assert not one.covariance.any()
    assert not varies(one, gram_of(jnp.asarray(matrix))).any()
    assert not LargestRows.empty(NEURONS, 3, CODES).whole
    check_rows(3, 3)
    with pytest.raises(ValueError, match="k: got 4 largest effects of each neuron from 3 prompts; needs from 1 to 3"):
        check_rows(4, 3)


def test_float32_agrees_with_float64():
    s, matrix = make()
    gram, moments = gram_of(jnp.asarray(matrix)), moments_of(jnp.asarray(s))
    wanted = principal(moments.covariance, gram).variance
    single = moments_of(jnp.asarray(s, jnp.float32))
    found = principal(single.covariance, gram_of(jnp.asarray(matrix, jnp.float32)))
    assert found.coefficients.dtype == jnp.float32
    np.testing.assert_allclose(found.variance, wanted, rtol=1e-4)
