"""Kinds of prompts: a neuron of one kind, of all, by chance, and where there is one kind alone."""

import numpy as np
import pytest

from causeway.engine.analyses.polysemanticity.behaviours import Labels
from causeway.engine.analyses.polysemanticity.effects import Neuron

PROMPTS = 120
CHOSEN = np.arange(PROMPTS) % 2 == 0
KINDS = [f"k{i // 2 % 3}" for i in range(PROMPTS)]


def labels(names=KINDS, per_group=1, seed=0):
    return Labels(names, [f"g{i // per_group}" for i in range(PROMPTS)], CHOSEN, seed)


def neuron(strength):
    return Neuron(np.asarray(strength)[:, None], np.ones((1, 1)), np.ones(1))


def test_a_neuron_that_acts_on_one_kind_alone_is_told_from_one_that_acts_on_all():
    own = np.array([kind == "k1" for kind in KINDS])
    noise = np.random.default_rng(0).normal(size=PROMPTS)
    one = labels().scores(neuron(np.where(own, np.sign(noise) * 5 + noise, 0.001 * noise)), 1.0)
    every = labels().scores(neuron(noise), 0.1)
    assert one["acts_on"] == 1
    assert one["behaviours"] < 1.05
    assert one["information"] > one["information_null"]
    assert one["information_p"] == 0.005
    assert every["acts_on"] == 3
    assert every["behaviours"] > 2.8
    assert every["behaviours_low"] <= every["behaviours"] <= every["behaviours_high"]
    assert every["information_p"] > 0.01


def test_information_is_1_where_strength_and_kind_give_each_other():
    four = [f"k{i // 2 % 4}" for i in range(PROMPTS)]
    found = labels(four).scores(neuron([float(kind[1]) for kind in four]), 0.0)
    assert found["information"] == 1


def test_information_is_that_of_its_definition():
    rng = np.random.default_rng(1)
    strength = rng.normal(size=PROMPTS) + np.array([kind == "k0" for kind in KINDS])
    found = labels().scores(neuron(strength), 0.0)["information"]
    off = strength - strength[CHOSEN].mean()
    cut = np.digitize(off[~CHOSEN], np.quantile(off[CHOSEN], [0.25, 0.5, 0.75]))
    held = np.array(KINDS)[~CHOSEN]
    joint = {(a, b): np.mean((held == a) & (cut == b)) for a in set(KINDS) for b in range(4)}
    shared = sum(p * np.log(p / np.mean(held == a) / np.mean(cut == b)) for (a, b), p in joint.items() if p > 0)
    entropies = [-sum(np.mean(x == v) * np.log(np.mean(x == v)) for v in np.unique(x)) for x in (held, cut)]
    np.testing.assert_allclose(found, shared / np.sqrt(np.prod(entropies)))


@pytest.mark.slow
def test_groups_of_one_kind_are_dealt_whole_and_chance_is_found_no_more_than_it_should_be():
    """Prompts of a group have one strength and one kind."""
    names = [f"k{i // 4 % 2}" for i in range(PROMPTS)]
    p = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        strength = np.repeat(rng.normal(size=PROMPTS // 4), 4) + 0.01 * rng.normal(size=PROMPTS)
        p.append(labels(names, 4, seed).scores(neuron(strength), 1.0)["information_p"])
    assert np.mean(np.array(p) <= 0.05) < 0.1
    assert 0.3 < np.mean(np.array(p) <= 0.5) < 0.7


def test_one_kind_of_prompts_says_nothing():
    own = labels(["k"] * PROMPTS)
    assert not own.tell
    assert np.isnan(list(own.scores(neuron(np.arange(PROMPTS)), 0.0).values())).all()
