"""Directions and heads of effects: exact on planted neurons, equal to the explicit effects', beside chance, covered."""

import dataclasses

import numpy as np
import pytest

from causeway.engine.analyses.polysemanticity.effects import Draws, Neuron, effect_scores, ratio
from causeway.engine.stats.group_bootstrap import blocks_of

PROMPTS, CODES = 60, 6
CHOSEN = np.arange(PROMPTS) % 3 > 0


def draws(prompts=PROMPTS, codes=CODES, seed=0):
    chosen = np.arange(prompts) % 3 > 0
    return Draws.of(chosen, blocks_of([f"g{i}" for i in range(prompts)], seed), codes, seed)


def neuron(codes, maps, component):
    return Neuron(codes, maps @ maps.T, maps @ component)


def drawn(seed=0, prompts=PROMPTS, codes=CODES, width=9):
    rng = np.random.default_rng(seed)
    s, maps = rng.normal(size=(prompts, codes)), rng.normal(size=(codes, width))
    first = np.linalg.svd((s - s.mean(axis=0)) @ maps)[2][0]
    return neuron(s, maps, first), s @ maps, first


def test_a_neuron_of_one_direction_scores_1_and_has_nothing_beyond_it():
    rng = np.random.default_rng(1)
    unit = np.eye(9)[2]
    one = neuron(rng.normal(size=(PROMPTS, CODES)), np.outer(rng.normal(size=CODES), unit), unit)
    found = effect_scores(one, draws())
    assert found["directions"] == pytest.approx(1)
    assert found["directions_high"] == pytest.approx(1)
    assert found["directions_null"] == pytest.approx(1)
    assert found["beyond_component"] == pytest.approx(0, abs=1e-9)
    assert found["beyond_null"] == 0


@pytest.mark.parametrize("count", [2, 3, 6])
def test_equal_orthogonal_directions_score_their_number(count):
    """Codes of equal variance without correlation, each with a direction of its own."""
    codes = np.zeros((PROMPTS, CODES))
    signs = np.sign(np.sin(np.arange(PROMPTS)[:, None] * 2 * np.pi * (1 + np.arange(count)) / PROMPTS + 1e-3))
    codes[:, :count] = np.linalg.qr(signs - signs.mean(axis=0))[0] * np.sqrt(PROMPTS)
    found = effect_scores(neuron(codes, np.eye(CODES, 9), np.eye(9)[0]), draws())
    assert found["directions"] == pytest.approx(count)
    assert found["heads"] == pytest.approx(count)
    assert found["directions_low"] - 1e-9 <= count <= found["directions_high"] + 1e-9


def test_two_heads_that_write_one_direction_are_two_heads_and_one_direction():
    rng = np.random.default_rng(2)
    codes, maps = np.zeros((PROMPTS, CODES)), np.zeros((CODES, 9))
    codes[:, :2] = rng.normal(size=(PROMPTS, 2))
    codes[:, :2] /= codes[:, :2].std(axis=0)
    maps[:2, 4] = 1
    found = effect_scores(neuron(codes, maps, np.eye(9)[4]), draws())
    assert found["directions"] == pytest.approx(1)
    assert found["heads"] == pytest.approx(2)


def test_scores_are_those_of_the_explicit_effects():
    one, phi, component = drawn()
    found = effect_scores(one, draws())
    values = np.linalg.eigvalsh(np.cov(phi.T, bias=True))
    assert found["directions"] == pytest.approx(values.sum() ** 2 / np.square(values).sum())
    assert ratio(np.diag(values)) == pytest.approx(found["directions"])
    off = (phi - phi[CHOSEN].mean(axis=0))[~CHOSEN]
    along = np.square(off @ component).sum() / np.square(off).sum()
    assert found["beyond_component"] == pytest.approx(1 - along)
    assert found["beyond_null"] == pytest.approx(1 - 1 / CODES)
    sizes = one.codes.var(axis=0) * np.diag(one.gram)
    assert found["heads"] == pytest.approx(sizes.sum() ** 2 / np.square(sizes).sum())


def test_neither_scale_nor_mean_of_effects_has_a_say_in_directions():
    one, _, _ = drawn()
    other = dataclasses.replace(one, codes=1e-12 * one.codes + 3e-12)
    for name in ("directions", "directions_low", "heads", "directions_null", "beyond_component"):
        assert effect_scores(other, draws())[name] == pytest.approx(effect_scores(one, draws())[name], rel=1e-4)


def test_prompts_held_out_have_no_say_in_what_they_are_judged_by():
    """The mean that deviations are from is of the prompts that choose alone."""
    one, _, _ = drawn()
    moved = one.codes.copy()
    moved[~CHOSEN] += 5
    sizes, _ = one.deviations(CHOSEN)
    others, _ = dataclasses.replace(one, codes=moved).deviations(CHOSEN)
    np.testing.assert_array_equal(sizes[CHOSEN], others[CHOSEN])
    assert (others[~CHOSEN] != sizes[~CHOSEN]).all()


def test_heads_that_act_together_have_fewer_directions_than_chance_and_independent_ones_do_not():
    rng = np.random.default_rng(4)
    maps, p = np.eye(CODES, 9), []
    together = rng.normal(size=(PROMPTS, 1)) + 0.3 * rng.normal(size=(PROMPTS, CODES))
    found = effect_scores(neuron(together, maps, np.eye(9)[0]), draws())
    assert found["directions"] < 1.5 < 4 < found["directions_null"]
    assert found["directions_p"] == 0.05
    for seed in range(60):
        codes = np.random.default_rng(seed).normal(size=(PROMPTS, CODES))
        p.append(effect_scores(neuron(codes, maps, np.eye(9)[0]), draws(seed=seed))["directions_p"])
    assert 0.35 < np.mean(p) < 0.68
    assert np.mean(np.array(p) <= 0.1) < 0.25


@pytest.mark.slow
def test_intervals_of_directions_cover_the_number_that_many_prompts_would_show():
    sizes = np.array([2.0, 1.5, 1.0, 0.5, 0.3, 0.1])
    truth = np.square(np.square(sizes).sum()) / (sizes**4).sum()
    hits = 0
    for seed in range(100):
        codes = np.random.default_rng((seed, 1)).normal(size=(200, CODES)) * sizes
        one, own = neuron(codes, np.eye(CODES, 9), np.eye(9)[0]), draws(200, seed=seed)
        found = effect_scores(one, dataclasses.replace(own, deals=own.deals[:1]))
        hits += found["directions_low"] <= truth <= found["directions_high"]
    assert hits >= 86, hits


def test_a_neuron_that_does_not_vary_has_no_scores():
    one, _, _ = drawn()
    found = effect_scores(dataclasses.replace(one, component=np.zeros(CODES)), draws())
    assert np.isnan(list(found.values())).all()
