"""Paired means: p and interval from one function, what the interval covers, and where the prompts cannot tell."""

import numpy as np
import pytest
from scipy import optimize, stats

from causeway.engine.stats import paired
from causeway.engine.stats.paired import FEWEST_DISTINCT, FEWEST_PROMPTS, paired_mean, smallest_p, verdict


def _rows():
    x = np.random.default_rng(0).normal(0.3, 1, size=(6, 15))
    x[2, 4] = x[3, :5] = np.nan
    x[4] = np.exp(x[4])
    return x


def test_p_and_interval_are_one_function():
    """The ends of the interval are the means whose p is what the confidence leaves over."""
    x = _rows()
    for confidence in (0.5, 0.95, 0.99):
        found = paired_mean(x, confidence=confidence)
        for end in (found.low, found.high):
            np.testing.assert_allclose(paired_mean(x - end[:, None]).p, 1 - confidence, rtol=1e-6)


@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.6])
def test_p_leaves_nothing_out_where_the_interval_does(shift):
    x = np.random.default_rng(1).lognormal(size=(2000, 14)) - 1.6 + shift
    found = paired_mean(x)
    np.testing.assert_array_equal(found.p < 0.05, (found.low > 0) | (found.high < 0))


def test_it_is_never_less_careful_than_student():
    x = _rows()
    found = paired_mean(x)
    for i, row in enumerate(x):
        student = stats.ttest_1samp(row[~np.isnan(row)], 0)
        interval = student.confidence_interval(0.95)
        assert found.low[i] <= interval.low + 1e-12
        assert found.high[i] >= interval.high - 1e-12
        assert found.p[i] >= student.pvalue * (1 - 1e-9)


def test_shift_and_scale_go_through():
    x = _rows()
    a, b = paired_mean(x), paired_mean(-3 * x + 2)
    np.testing.assert_allclose(b.low, -3 * a.high + 2)
    np.testing.assert_allclose(b.high, -3 * a.low + 2)
    np.testing.assert_allclose(paired_mean(-3 * x).p, a.p)


def test_missing_prompts_are_left_out():
    x = _rows()
    found, alone = paired_mean(x), paired_mean(x[3:4, 5:])
    for name in ("prompts", "distinct", "effect", "low", "high", "p"):
        np.testing.assert_allclose(getattr(found, name)[3], getattr(alone, name)[0])


SHAPES = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "uniform": (lambda rng, size: rng.random(size), 0.5),
    "heavy": (lambda rng, size: rng.standard_t(3, size=size), 0.0),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0),
    "bounded": (lambda rng, size: rng.beta(0.5, 2, size=size), 0.2),
    "lognormal": (lambda rng, size: rng.lognormal(size=size), np.exp(0.5)),
    "sparse": (lambda rng, size: np.where(rng.random(size) < 0.1, rng.exponential(size=size), 0), 0.1),
    "even sparse": (lambda rng, size: np.where(rng.random(size) < 0.1, rng.normal(size=size), 0), 0.0),
    "third": (lambda rng, size: np.where(rng.random(size) < 0.3, rng.exponential(size=size), 0), 0.3),
}
# Most differences 0: never too narrow, and up to 99 % where a third of them is not.
WIDE = {"sparse", "third", "even sparse"}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_covers_what_it_says_or_gives_no_interval(shape):
    """4 to 40 prompts; a cell in which one row of a hundred has an interval says nothing of coverage."""
    rng = np.random.default_rng(2)
    draw, mean = SHAPES[shape]
    for prompts in (4, 6, 8, 10, 12, 20, 40):
        found = paired_mean(draw(rng, (8000, prompts)))
        told = ~np.isnan(found.low)
        if prompts < FEWEST_PROMPTS:
            assert not told.any()
        elif told.mean() > 0.02:
            covered = ((found.low <= mean) & (mean <= found.high))[told].mean()
            assert 0.925 < covered < (0.997 if shape in WIDE else 0.985), (prompts, covered)
        else:
            assert shape in WIDE


def test_students_interval_does_not():
    """What it stands in for."""
    x = np.random.default_rng(3).lognormal(size=(4000, 12))
    interval = stats.ttest_1samp(x, 0, axis=1).confidence_interval()
    assert ((interval.low < np.exp(0.5)) & (interval.high > np.exp(0.5))).mean() < 0.87


def test_few_prompts_and_few_that_move_tell_nothing():
    x = np.zeros((5, 20))
    x[0, :FEWEST_DISTINCT] = x[1, : FEWEST_DISTINCT - 1] = (
        np.arange(FEWEST_DISTINCT + 0.0)[: FEWEST_DISTINCT - 1].mean() + 1
    )
    x[2], x[3] = 1.0, np.linspace(0, 1, 20)
    found = paired_mean(np.concatenate([x, x + 5]))
    np.testing.assert_array_equal(found.distinct, [6, 5, 0, 20, 0] * 2)
    np.testing.assert_array_equal(np.isnan(found.low), [False, True, True, False, True] * 2)
    np.testing.assert_array_equal(np.isnan(found.p), np.isnan(found.low))
    assert verdict(9).startswith("cannot tell: 9 prompts are too few")
    assert verdict(20, 5).startswith("cannot tell: 5 of 20 prompts stand off")
    assert verdict(20) == ""


def test_no_p_below_what_signs_could_give():
    x = 1 + 1e-3 * np.random.default_rng(4).normal(size=(5, 12))
    np.testing.assert_array_equal(paired_mean(x).p, smallest_p(12))


def test_the_transform_and_its_inverse():
    t, a = np.linspace(-6, 6, 25), np.array([-0.3, -1e-9, 0.0, 1e-5, 0.2])[:, None]
    h = paired._bent(t, a)
    assert (np.diff(h, axis=1) >= 0).all()
    np.testing.assert_allclose(paired._unbent(h, a), np.broadcast_to(t, h.shape), atol=1e-4)
    root = optimize.brentq(lambda v: paired._bent(np.array(v), np.array(0.2)) - 1.5, -10, 10)
    np.testing.assert_allclose(paired._unbent(np.array(1.5), np.array(0.2)), root)


def test_one_prompt_has_an_effect_and_no_interval():
    found = paired_mean(np.array([[0.25]]))
    assert found.effect[0] == 0.25
    assert np.isnan([found.low[0], found.high[0], found.p[0]]).all()


def test_a_confidence_is_a_share():
    with pytest.raises(ValueError, match="confidence: got 95"):
        paired_mean(np.zeros((1, 3)), confidence=95)
