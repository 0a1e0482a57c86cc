"""The published decomposition, line by line in numpy, and what its faults do."""

import numpy as np
import pytest

from causeway.engine.analyses.as_published.decomposition import (
    published_atoms,
    published_decomposition,
    published_figures,
)


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    texts = rng.standard_normal((60, 12)) * np.geomspace(3, 0.2, 12)
    x = rng.standard_normal((7, 12))
    return x / np.linalg.norm(x, axis=1, keepdims=True), texts + 1


def test_the_dictionary_is_normalised_by_coordinate_and_not_by_text(case):
    atoms = published_atoms(case[1])
    np.testing.assert_allclose(atoms.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=0), 100)
    assert np.ptp(np.linalg.norm(atoms, axis=1)) > 1
    flat = case[1].copy()
    flat[:, 3] = 0
    assert np.isfinite(published_atoms(flat)).all()


def test_reconstructions_are_those_of_scikit_learns_coder(case):
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is not installed (`parity`)")
    x, texts = case
    atoms = published_atoms(texts)
    coder = decomposition.SparseCoder(atoms, transform_algorithm="omp", transform_n_nonzero_coefs=5)
    codes = coder.transform(x)
    found = published_decomposition(x, texts, 5)
    ours = np.zeros_like(codes)
    np.put_along_axis(ours, found.pursuit.atom, found.pursuit.coefficient, axis=1)
    np.testing.assert_array_equal(ours != 0, codes != 0)
    np.testing.assert_allclose(ours, codes, rtol=1e-3, atol=1e-6)


def test_what_is_put_in_the_place_of_a_component_shrinks_by_the_squared_norm_of_its_reconstruction(case):
    x, texts = case
    found = published_decomposition(x, texts, 4)
    made = found.pursuit.reconstructed(published_atoms(texts))
    size = np.linalg.norm(made, axis=1)
    # A fit leaves a right angle, so |r| is the cosine.
    np.testing.assert_allclose(found.cosine, size, atol=1e-4)
    np.testing.assert_allclose(found.projection_error, np.sqrt(1 - size**2), atol=1e-4)
    along = np.sum(x * made, axis=1)[:, None]
    np.testing.assert_allclose(found.error, np.linalg.norm(x - along * made, axis=1), atol=1e-6)
    assert (found.error >= found.projection_error - 1e-6).all()
    assert published_figures(found)["mean_error"] == pytest.approx(found.error.mean())
