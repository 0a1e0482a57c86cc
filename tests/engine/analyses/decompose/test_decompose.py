"""Directions that are made of few atoms are found again; the null keeps the lexicon's shape; the rest is refused."""

import dataclasses

import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.decompose.decompose import decomposed
from causeway.engine.analyses.decompose.table import figures, line, table
from causeway.engine.sparse.orthogonal_pursuit import orthogonal_pursuit

WIDTH, PLACES, WEIGHTS = 48, [[5, 40], [70, 1], [33, 34]], [[2.0, -1.0], [1.0, 0.9], [-1.0, 2.0]]


def unit(rows):
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)).astype(np.float32)


@pytest.fixture(scope="module")
def lexicon():
    rng = np.random.default_rng(0)
    # Some directions are large in every word, as in an unembedding.
    vectors = (rng.standard_normal((90, WIDTH)) * np.geomspace(4, 0.2, WIDTH)).astype(np.float32)
    return cw.Lexicon(tuple(f"w{i}" for i in range(90)), vectors, "mean", "abc")


@pytest.fixture(scope="module")
def components(lexicon):
    """Three sums of two atoms, twenty random directions of the atoms' own shape, and one that does not vary."""
    sums = np.einsum("ms,msd->md", WEIGHTS, lexicon.atoms[np.array(PLACES)])
    noise = np.random.default_rng(1).standard_normal((20, WIDTH)) * np.geomspace(4, 0.2, WIDTH)
    rows = unit(np.concatenate([sums, noise, np.zeros((1, WIDTH))]))
    return cw.Components(2, np.arange(24) * 3, np.zeros_like(rows), rows, "abc")


@pytest.fixture(scope="module")
def found(components, lexicon):
    return decomposed(components, lexicon, 6, draws=39)


def test_sums_of_atoms_are_found_again_with_their_coefficients(found, components, lexicon):
    for row, (places, weights) in enumerate(zip(PLACES, WEIGHTS, strict=True)):
        entries = found.entries[row]
        order = np.argsort(-np.abs(weights))
        assert [index for index, *_ in entries] == [places[i] for i in order]
        assert [text for *_, text in entries] == [lexicon.texts[places[i]] for i in order]
        size = np.linalg.norm(weights @ lexicon.atoms[places])
        np.testing.assert_allclose([c for _, c, _ in entries], [weights[i] / size for i in order], rtol=1e-4)
    np.testing.assert_allclose(found.cosine[:3, -1], 1, atol=1e-6)


def test_a_neuron_that_does_not_vary_is_told_and_left_out(found):
    assert found.left_out.tolist() == [69]
    assert found.neuron.tolist() == list(range(0, 69, 3))
    assert np.isfinite(found.cosine).all()
    assert "; 1 do not vary" in line(found)


def test_the_null_finds_sums_of_atoms_and_not_what_any_lexicon_of_that_shape_reaches(found):
    assert (found.p[:3] == 1 / 40).all()
    # Under the null a p value is even over its steps: of 20 about one is below 0.05.
    assert (found.p[3:] <= 0.05).sum() <= 4
    assert 0.3 < found.p[3:].mean() < 0.7
    gain = found.cosine[:, -1] - found.null_cosine[:, -1]
    assert (gain[:3] > 0.05).all()
    assert abs(gain[3:].mean()) < 0.03


def test_a_reflected_lexicon_has_the_angles_the_norms_and_the_moments_of_its_own(lexicon):
    atoms = lexicon.atoms.astype(np.float64)
    axes = np.linalg.eigh(atoms.T @ atoms)[1]
    reflected = (atoms @ axes * np.random.default_rng(0).choice([-1.0, 1.0], WIDTH)) @ axes.T
    np.testing.assert_allclose(reflected @ reflected.T, atoms @ atoms.T, atol=1e-10)
    np.testing.assert_allclose(reflected.T @ reflected, atoms.T @ atoms, atol=1e-10)
    assert not np.allclose(reflected, atoms, atol=0.1)


def test_reflecting_the_vectors_is_reflecting_the_lexicon(lexicon, components):
    atoms, x = lexicon.atoms.astype(np.float64), components.component[:5].astype(np.float64)
    axes = np.linalg.eigh(atoms.T @ atoms)[1]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], WIDTH)
    mirror = (axes * signs) @ axes.T
    one, other = orthogonal_pursuit(x @ mirror, atoms, 5), orthogonal_pursuit(x, atoms @ mirror, 5)
    np.testing.assert_array_equal(one.atom, other.atom)
    np.testing.assert_allclose(one.remainder, other.remainder, atol=1e-5)


def test_a_neurons_draws_do_not_depend_on_the_others(components, lexicon, found):
    alone = decomposed(components.only(np.array([12, 3])), lexicon, 6, draws=39)
    np.testing.assert_allclose(alone.null_cosine, found.null_cosine[[4, 1]], atol=1e-5)
    np.testing.assert_array_equal(alone.p, found.p[[4, 1]])
    assert not np.allclose(
        decomposed(components, lexicon, 6, draws=2, seed=1).null_cosine, found.null_cosine, atol=1e-4
    )


def test_no_number_of_atoms_exceeds_the_space_of_all(components, lexicon):
    few = dataclasses.replace(lexicon, texts=lexicon.texts[:7], vectors=lexicon.vectors[:7])
    found = decomposed(components, few, 7)
    np.testing.assert_allclose(found.cosine[:, -1], found.within, atol=1e-5)
    x = components.component[:23].astype(np.float64)
    basis = np.linalg.qr(few.vectors.T.astype(np.float64))[0]
    np.testing.assert_allclose(found.within, np.linalg.norm(x @ basis, axis=1), atol=1e-5)
    assert np.isnan(found.p).all()
    assert np.isnan(found.null_cosine).all()
    assert "by chance" not in line(found)


def test_words_are_judged_on_components_of_other_prompts(components, lexicon, found):
    rows = components.component.copy()
    rows[0] *= -1
    rows[1] = unit(rows[1:2] + 0.3 * rows[5:6])
    held = cw.Components(
        2, np.append(components.neuron[[1, 0, 5]], 99), np.zeros((4, WIDTH)), rows[[1, 0, 23, 2]], "abc"
    )
    judged = decomposed(components, lexicon, 6, held_out=held)
    # A sign is a convention, 15 has no component there, and the others were not looked at.
    known = np.isfinite(judged.held_cosine)
    assert judged.neuron[known].tolist() == [0, 3]
    np.testing.assert_allclose(judged.held_cosine[:2], [1, abs(rows[1] @ components.component[1])], atol=1e-5)
    np.testing.assert_allclose(judged.held_component[:2], judged.held_cosine[:2], atol=1e-5)
    told = figures(judged)
    assert (told["held_out_neurons"], figures(found)["held_out_neurons"]) == (2, 0)


def test_the_table_has_the_best_said_neurons_first_and_one_family_of_q(found, components, lexicon):
    other = decomposed(dataclasses.replace(components, layer=3), lexicon, 6, draws=39)
    rows = table([found, other])
    assert rows.num_rows == 46
    assert set(rows["neuron"].to_pylist()[:6]) == {0, 3, 6}
    gain = np.array(rows["gain"])
    assert (np.diff(gain) <= 0).all()
    assert rows["words"][0].as_py().split(", ")[0].lstrip("-").startswith("w")
    assert (np.array(rows["q"]) >= np.array(rows["p"])).all()
    assert rows["atoms"].to_pylist()[:3] == [2, 2, 2]
    without = table([decomposed(components, lexicon, 6)])
    assert (np.diff(np.array(without["cosine"])) <= 0).all()


def test_curves_rise_with_every_atom(found):
    told = figures(found)
    assert len(told["mean_cosine_by_atoms"]) == len(told["mean_null_cosine_by_atoms"]) == 6
    assert (np.diff(told["mean_cosine_by_atoms"]) >= 0).all()
    assert told["do_not_vary"] == [69]


def changed(components, **fields):
    return dataclasses.replace(components, **fields)


def test_what_does_not_belong_together_is_refused(components, lexicon):
    still = changed(components, component=np.zeros_like(components.component))
    with pytest.raises(ValueError, match="components: none of 24 neurons of layer 2 varies over prompts"):
        decomposed(still, lexicon, 3)
    with pytest.raises(ValueError, match="atoms: got 91 for each neuron, but the lexicon has 90 texts"):
        decomposed(components, lexicon, 91)
    with pytest.raises(ValueError, match="lexicon: of weights abc, but the components are of def; make both on one"):
        decomposed(changed(components, fingerprint="def"), lexicon, 3)
    with pytest.raises(ValueError, match="held_out: of weights def, but the components are of abc"):
        decomposed(components, lexicon, 3, held_out=changed(components, fingerprint="def"))
    with pytest.raises(ValueError, match="held_out: of layer 5, but the components are of layer 2"):
        decomposed(components, lexicon, 3, held_out=changed(components, layer=5))
    narrow = changed(components, mean=components.mean[:, :5], component=unit(components.component[:, :5]))
    with pytest.raises(ValueError, match="components, lexicon: of 5 and 48 coordinates"):
        decomposed(narrow, lexicon, 3)


def test_the_call_checks_the_model_and_finds_what_the_engine_finds():
    model = cw.load_model("bundled:tiny")
    words = cw.lexicon(model, ["win", "loss", "river", "capital", "good", "bad"])
    rows = unit(words.atoms[[0, 2]] @ np.eye(128) + words.atoms[[3, 4]])
    parts = cw.Components(1, np.array([7, 9]), np.zeros_like(rows), rows, model.fingerprint)
    found = cw.decompose(model, parts, words, atoms=2, null_draws=19)
    assert [{text for *_, text in entries} for entries in found.entries] == [{"win", "capital"}, {"river", "good"}]
    with pytest.raises(ValueError, match="lexicon: made on weights 123, but bundled:tiny is"):
        cw.decompose(model, parts, dataclasses.replace(words, fingerprint="123"))
    with pytest.raises(ValueError, match="components: made on weights 123, but bundled:tiny is"):
        cw.decompose(model, changed(parts, fingerprint="123"), words)
