"""Words and what triggers a neuron: a loop over neurons and prompts says the same, and dealt words say nothing."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from causeway.engine.analyses.ablate import triggers
from causeway.engine.analyses.ablate.substitutions import SPARSE
from causeway.engine.analyses.components.components import explicit_effects
from tests.engine.analyses.ablate.test_ablate import CHOSEN, HELD, given_of

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture(scope="module")
def given(tiny):
    found = given_of(tiny)
    rng = np.random.default_rng(0)
    layers = {
        at: dataclasses.replace(layer, directions={SPARSE: rng.standard_normal(layer.components.component.shape)})
        for at, layer in found.layers.items()
    }
    return dataclasses.replace(found, layers=layers)


def test_correlations_are_those_of_a_loop(given):
    columns = np.asarray(given.model.transformer.embedding[...], np.float64)
    columns = columns - columns.mean(axis=0)
    atoms = columns / np.linalg.norm(columns, axis=1, keepdims=True)
    own, others = [], []
    for at, layer in given.layers.items():
        effects = np.concatenate([part for _, part in explicit_effects(given.sweep, given.codes, at)], axis=1)
        sizes = np.linalg.norm(effects - effects[CHOSEN].mean(axis=0), axis=-1)[HELD]
        for n, m in np.ndindex(2, 2):
            likeness = [layer.directions[SPARSE][m] @ atoms[list(p.tokens)].mean(axis=0) for p in given.prompts]
            r = stats.spearmanr(sizes[:, n], likeness).statistic
            (own if n == m else others).append(r)
    found = triggers.words_and_triggers(given)
    assert found["correlation"] == pytest.approx(np.mean(own), abs=1e-6)
    assert found["by_chance"] == pytest.approx(np.mean(others), abs=1e-6)
    assert (found["neurons"], found["prompts"]) == (4, len(HELD))
    assert "rank correlation" in triggers.line(found)


def test_words_that_are_what_triggers_are_found_and_dealt_ones_are_not(given, monkeypatch):
    rng, count = np.random.default_rng(1), 40
    sizes = rng.standard_normal((len(HELD), count))
    layer = next(iter(given.layers.values()))
    one = dataclasses.replace(given, layers={0: layer})

    def found(likeness):
        table = triggers._ranked(sizes).T @ triggers._ranked(likeness)
        monkeypatch.setattr(triggers, "_correlations", lambda *_: table)
        return triggers.words_and_triggers(one)

    planted = found(sizes + 2 * rng.standard_normal(sizes.shape))
    assert planted["p"] == 0.001
    assert planted["correlation"] > 0.25
    p = [found(rng.standard_normal(sizes.shape))["p"] for _ in range(60)]
    assert 0.3 < np.mean(p) < 0.7


def test_without_words_nothing_is_said(tiny):
    assert triggers.words_and_triggers(given_of(tiny)) is None
