"""Every method finds the direction that the labels were made of, and each is what its formula says."""

import numpy as np
import pytest

from causeway.engine.analyses.direction.inputs import Inputs
from causeway.engine.analyses.direction.logistic import logistic_fits
from causeway.engine.analyses.direction.methods import METHODS, STRENGTHS, Labelled
from causeway.engine.stats.auc import mann_whitney

WIDTH = 12


def drawn(count, kind="correct", seed=0, mixed=False):
    """Representations, labels made of w with noise, and w; `mixed`: coordinates of unlike size and correlated."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.cholesky(np.diag(np.geomspace(0.1, 10, WIDTH)) + 0.5) if mixed else np.eye(WIDTH)
    w = np.linalg.solve(mixing.T, np.arange(WIDTH) - 5.0)
    x = rng.normal(size=(count, WIDTH)) @ mixing.T + 3
    score = (x - 3) @ w / 4
    y = (score + rng.logistic(size=count) > 0.5).astype(float) if kind == "correct" else score + rng.normal(size=count)
    return Labelled(x.astype(np.float32), y, [f"g{i}" for i in range(count)]), w / np.linalg.norm(w)


def explicit(name, given, about):
    """Each method in D coordinates, as it is written."""
    x, y = given.x.astype(np.float64), given.y
    right = y > 0
    apart = x[right].mean(axis=0) - x[~right].mean(axis=0)
    if name == "difference":
        return apart
    if name == "covariance":
        return ((y - y.mean())[:, None] * (x - x.mean(axis=0))).sum(axis=0)
    if name == "mass_mean":
        within = np.concatenate([x[of] - x[of].mean(axis=0) for of in (right, ~right)])
        s, eye = within.T @ within / len(x), np.eye(x.shape[1])
        m = np.trace(s) / len(s)
        spread = ((s - m * eye) ** 2).sum()
        noise = np.mean([((np.outer(row, row) - s) ** 2).sum() for row in within]) / len(x)
        share = min(1.0, noise / spread)
        assert about["shrinkage"] == pytest.approx(share)
        return np.linalg.solve((1 - share) * s + share * m * eye, apart)
    scale = x.std(axis=0)
    z = (x - x.mean(axis=0)) / scale
    if name == "ridge":
        return np.linalg.solve(z.T @ z / len(z) + about["strength"] * np.eye(WIDTH), z.T @ (y - y.mean())) / scale
    # Newton's method.
    w, b = np.zeros(WIDTH), 0.0
    ones = np.column_stack([z, np.ones(len(z))])
    penalty = np.diag([about["strength"]] * WIDTH + [0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-(z @ w + b)))
        gradient = ones.T @ (p - y) / len(z) + penalty @ np.append(w, b)
        step = np.linalg.solve(ones.T @ (ones * (p * (1 - p))[:, None]) / len(z) + penalty, gradient)
        w, b = w - step[:-1], b - step[-1]
    assert about["intercept"] == pytest.approx((b - (w / scale) @ x.mean(axis=0)) / np.linalg.norm(w / scale), rel=1e-3)
    return w / scale


NAMES = [(kind, name) for kind, methods in METHODS.items() for name in methods]


@pytest.mark.parametrize(("kind", "name"), NAMES)
@pytest.mark.parametrize("count", [200, 9])
def test_a_method_is_what_its_formula_says_with_more_and_with_fewer_prompts_than_coordinates(kind, name, count):
    given, _ = drawn(count, kind, mixed=True, seed=3)
    found = METHODS[kind][name](given)
    expected = explicit(name, given, found.about)
    np.testing.assert_allclose(found.vector, expected / np.linalg.norm(expected), atol=2e-5)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_the_direction_of_the_labels_is_found(kind, name):
    given, w = drawn(2_000, kind)
    fresh, _ = drawn(4_000, seed=1)
    found = METHODS[kind][name](given)
    assert np.linalg.norm(found.vector) == pytest.approx(1)
    assert found.vector @ w > 0.98
    oracle = mann_whitney(fresh.x @ w, fresh.y > 0)
    assert mann_whitney(fresh.x @ found.vector, fresh.y > 0) == pytest.approx(oracle, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [pair for pair in NAMES if pair[1] not in ("difference", "covariance")])
def test_coordinates_of_unlike_size_are_seen_through(kind, name):
    given, w = drawn(4_000, kind, mixed=True)
    fresh, _ = drawn(4_000, seed=1, mixed=True)
    found = METHODS[kind][name](given)
    oracle = mann_whitney(fresh.x @ w, fresh.y > 0)
    assert mann_whitney(fresh.x @ found.vector, fresh.y > 0) == pytest.approx(oracle, abs=0.01)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_the_same_call_gives_the_same_bits_and_the_order_changes_rounding_alone(kind, name):
    given, _ = drawn(60, kind)
    one, other = (METHODS[kind][name](given) for _ in range(2))
    np.testing.assert_array_equal(one.vector, other.vector)
    turned = METHODS[kind][name](Labelled(given.x[::-1], given.y[::-1], given.groups[::-1]))
    np.testing.assert_allclose(turned.vector, one.vector, atol=1e-4)


def test_strengths_follow_how_much_there_is_to_learn():
    """Copies of a prompt are one group: seen as many, noise would be taken for a rule."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 40)).astype(np.float32)
    y = rng.permutation(np.arange(24) % 2).astype(float)
    copies = Labelled(np.repeat(x, 5, axis=0), np.repeat(y, 5), np.repeat([f"g{i}" for i in range(24)], 5).tolist())
    assert METHODS["correct"]["probe"](copies).about["strength"] >= 0.1
    torn = Labelled(copies.x, copies.y, [f"h{i}" for i in range(120)])
    assert METHODS["correct"]["probe"](torn).about["strength"] < 0.1
    given, _ = drawn(2_000)
    assert METHODS["correct"]["probe"](given).about["strength"] in STRENGTHS[:-2]


def test_a_coordinate_that_does_not_vary_takes_no_part():
    given, _ = drawn(60)
    x = np.concatenate([given.x, np.full((60, 1), 7.0, np.float32)], axis=1)
    for name, method in METHODS["correct"].items():
        found = method(Labelled(x, given.y, given.groups)).vector
        assert found[-1] == pytest.approx(0, abs=1e-12)
        if name != "mass_mean":  # its identity is of all coordinates
            np.testing.assert_allclose(found[:-1], method(given).vector, atol=1e-5)
    with pytest.raises(ValueError, match="representations: equal for all labels"):
        METHODS["correct"]["difference"](Labelled(np.ones((60, 3)), given.y, given.groups))


def test_few_coordinates_are_all_of_them():
    x = np.random.default_rng(0).normal(size=(5, 9))
    rows = Inputs.of(x, standardised=True)
    assert rows.z.shape == (5, 4)
    w = np.arange(4.0)
    np.testing.assert_allclose((x - x.mean(axis=0)) @ rows.direction(w), rows.z @ w, atol=1e-12)


def test_fits_agree_with_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    covariance = pytest.importorskip("sklearn.covariance")
    given, _ = drawn(150, mixed=True)
    rows = Inputs.of(given.x, standardised=True)
    w, b = logistic_fits(rows.z, given.y, np.ones((1, 150)), [0.02])
    theirs = linear.LogisticRegression(C=1 / (0.02 * 150), tol=1e-10, max_iter=5_000).fit(rows.z, given.y)
    np.testing.assert_allclose(w[0], theirs.coef_[0], atol=1e-5)
    np.testing.assert_allclose(b, theirs.intercept_, atol=1e-5)
    within = given.x.astype(np.float64)
    for of in (given.y > 0, given.y <= 0):
        within[of] -= within[of].mean(axis=0)
    shrunk = covariance.LedoitWolf(assume_centered=True).fit(within)
    assert METHODS["correct"]["mass_mean"](given).about["shrinkage"] == pytest.approx(shrunk.shrinkage_)
