"""Pursuit against a plain one, one vector after another, and against scikit-learn where it is installed."""

import jax
import numpy as np
import pytest

from causeway.engine.sparse.orthogonal_pursuit import orthogonal_pursuit


def plain_pursuit(x, atoms, steps):
    """Supports in order, coefficients and |r| / |x|: least squares anew at every step."""
    support, remainder, left = [], x, []
    for _ in range(steps):
        products = np.abs(atoms @ remainder)
        products[support] = -1
        support.append(int(np.argmax(products)))
        fit = np.linalg.lstsq(atoms[support].T, x, rcond=None)[0]
        remainder = x - fit @ atoms[support]
        left.append(np.linalg.norm(remainder) / np.linalg.norm(x))
    return support, fit, left


def drawn(rng, count, width, unit=True):
    rows = rng.standard_normal((count, width))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit else rows


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    # Words that share a direction, as embeddings do.
    atoms = rng.standard_normal((120, 24)) + 0.7 * rng.standard_normal(24)
    return drawn(rng, 23, 24), atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def test_supports_coefficients_and_remainders_are_those_of_the_plain_pursuit(case):
    vectors, atoms = case
    found = orthogonal_pursuit(vectors, atoms, 10, block=8)
    for i, x in enumerate(vectors):
        support, fit, left = plain_pursuit(x, atoms, 10)
        assert found.atom[i].tolist() == support
        np.testing.assert_allclose(found.coefficient[i], fit, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.remainder[i], left, rtol=0, atol=1e-12)


@pytest.mark.parametrize("unit", [True, False])
def test_supports_are_those_of_scikit_learn(case, unit):
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed (extra `parity`)")
    vectors, atoms = case
    atoms = atoms if unit else atoms * np.linspace(0.5, 2, len(atoms))[:, None]
    found = orthogonal_pursuit(vectors, atoms, 12)
    wanted = linear.orthogonal_mp(atoms.T, vectors.T, n_nonzero_coefs=12).T
    ours = np.zeros_like(wanted)
    np.put_along_axis(ours, found.atom, found.coefficient, axis=1)
    np.testing.assert_array_equal(ours != 0, wanted != 0)
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-12)


def test_a_sum_of_few_atoms_is_found_again_and_nothing_more_is_taken():
    rng = np.random.default_rng(1)
    atoms = drawn(rng, 60, 200)
    weights = np.array([[2.0, -1.0, 0.7], [1.0, 0.9, -0.8]])
    places = np.array([[5, 17, 40], [59, 0, 3]])
    found = orthogonal_pursuit(np.einsum("ms,msd->md", weights, atoms[places]), atoms, 6)
    assert (found.atom[:, 3:] == -1).all()
    assert (found.coefficient[:, 3:] == 0).all()
    for i in range(2):
        order = np.argsort(found.atom[i, :3])
        wanted = np.argsort(places[i])
        assert found.atom[i, order].tolist() == places[i, wanted].tolist()
        np.testing.assert_allclose(found.coefficient[i, order], weights[i, wanted], atol=1e-12)
    assert (found.remainder[:, 2:] < 1e-14).all()
    np.testing.assert_allclose(found.cosine[:, 2:], 1, atol=1e-14)


def test_no_atom_is_taken_twice_and_none_beyond_the_space_of_all():
    rng = np.random.default_rng(2)
    atoms = np.repeat(drawn(rng, 5, 9), 2, axis=0)
    found = orthogonal_pursuit(drawn(rng, 4, 9), atoms, 10)
    taken = [[a for a in row if a >= 0] for row in found.atom.tolist()]
    assert [len(set(row)) for row in taken] == [len(row) for row in taken] == [5] * 4
    # Of two equal atoms the first.
    assert all(atom % 2 == 0 for row in taken for atom in row)
    assert (np.diff(found.remainder, axis=1) <= 1e-12).all()


def test_a_vector_of_zeros_takes_nothing_and_is_no_nan():
    found = orthogonal_pursuit(np.zeros((2, 4)), np.eye(4), 3)
    assert (found.atom == -1).all()
    assert not found.coefficient.any()
    assert not found.remainder.any()
    assert orthogonal_pursuit(np.zeros((0, 4)), np.eye(4), 3).atom.shape == (0, 3)


def test_neither_the_block_nor_its_other_vectors_change_what_is_found(case):
    vectors, atoms = case
    whole, one = orthogonal_pursuit(vectors, atoms, 7), orthogonal_pursuit(vectors[5:6], atoms, 7)
    np.testing.assert_array_equal(whole.atom[5], one.atom[0])
    np.testing.assert_allclose(whole.coefficient[5], one.coefficient[0], rtol=0, atol=1e-12)


def test_the_remainder_is_that_of_the_reconstruction(case):
    vectors, atoms = case
    found = orthogonal_pursuit(vectors, atoms, 6)
    made = found.reconstructed(atoms)
    np.testing.assert_allclose(np.linalg.norm(vectors - made, axis=1), found.remainder[:, -1], atol=1e-12)
    cosine = np.sum(vectors * made, axis=1) / np.linalg.norm(made, axis=1)
    np.testing.assert_allclose(cosine, found.cosine[:, -1], atol=1e-12)


def test_float32_finds_what_float64_does(case):
    vectors, atoms = case
    single = orthogonal_pursuit(vectors.astype(np.float32), atoms.astype(np.float32), 5)
    assert single.coefficient.dtype == np.float32
    np.testing.assert_allclose(single.remainder, orthogonal_pursuit(vectors, atoms, 5).remainder, atol=1e-5)


@pytest.mark.parametrize(
    ("vectors", "atoms", "steps", "message"),
    [
        (np.ones((1, 3)), np.eye(4), 1, "needs as many coordinates"),
        (np.ones((1, 4)), np.eye(4), 5, "atoms: got 5 for each vector from 4; needs from 1 to 4"),
        (np.ones((1, 4)), np.eye(4), 0, "needs from 1 to 4"),
        (np.full((2, 4), np.nan), np.eye(4), 1, "vectors: 2 of 2 are not finite"),
        (np.ones((1, 4)), np.where(np.eye(4) > 0, np.inf, 0), 1, "atoms: 4 of 4 are not finite"),
    ],
)
def test_what_cannot_be_pursued_is_refused(vectors, atoms, steps, message):
    with pytest.raises(ValueError, match=message):
        orthogonal_pursuit(vectors, atoms, steps)
