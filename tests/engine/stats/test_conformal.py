"""A bound of draws: what it covers, how many it takes, and why draws of another scale are none."""

import numpy as np
import pytest

from causeway.engine.stats.conformal import conformal_bound, fewest_draws

DRAWS, TARGETS = 19, 4000
SHAPES = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 1, shape),
    "mostly zero": lambda rng, shape: rng.lognormal(0, 1, shape) * rng.choice([0, 0, 1], shape),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_one_more_draw_is_beyond_it_no_more_often_than_it_says(shape):
    rng = np.random.default_rng(1)
    sizes = np.abs(SHAPES[shape](rng, (DRAWS + 1, TARGETS)))
    assert np.mean(sizes[0] > conformal_bound(sizes[1:], 0.95)) < 0.06


def test_against_a_loop():
    rng = np.random.default_rng(2)
    sizes = np.where(rng.random((40, 60)) < 0.3, np.nan, rng.random((40, 60)))
    for column, bound in zip(sizes.T, conformal_bound(sizes, 0.9), strict=True):
        known = sorted(column[~np.isnan(column)])
        rank = int(np.ceil(0.9 * (len(known) + 1)))
        assert bound == known[rank - 1] if rank <= len(known) else np.isnan(bound)


def test_too_few_draws_bound_nothing():
    assert fewest_draws(0.05) == DRAWS
    sizes = np.arange(DRAWS, dtype=float)[:, None]
    assert conformal_bound(sizes, 0.95)[0] == DRAWS - 1
    assert np.isnan(conformal_bound(sizes[1:], 0.95)).all()
    assert np.isnan(conformal_bound(sizes[:0], 0.95)).all()


def test_draws_of_the_same_push_bound_a_feature_and_those_of_other_pushes_do_not():
    """Features that do nothing in particular, one of them pushed hard: beside other features' draws it stands out."""
    rng = np.random.default_rng(3)
    pushes = np.concatenate([[8.0], rng.lognormal(0, 1, 9)])
    # Not linear in the push: a target is off until the push reaches it.
    sizes = np.maximum(pushes[:, None, None] * np.abs(rng.standard_normal((10, DRAWS + 1, TARGETS))) - 1, 0)
    own, pooled = conformal_bound(sizes[0, 1:], 0.95), conformal_bound(sizes[:, 1:].reshape(-1, TARGETS), 0.95)
    assert np.mean(sizes[0, 0] > own) < 0.06
    assert np.mean(sizes[0, 0] > pooled) > 0.2
    # Dividing by the push does not mend it: what is far above the threshold for one is below it for another.
    scaled = conformal_bound((sizes[1:, 1:] / pushes[1:, None, None]).reshape(-1, TARGETS), 0.95) * pushes[0]
    assert np.mean(sizes[0, 0] > scaled) > 0.1
