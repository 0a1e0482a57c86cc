"""Ablations are sums of explicit effects, edits of neurons by hand, and told with intervals and verdicts."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.ablate import estimates, live
from causeway.engine.analyses.ablate.ablate import (
    Ablation,
    ablation_results,
    all_changes,
    answer_tokens,
    in_output_space,
    layer_masses,
    layer_of,
    lines,
    live_outcomes,
)
from causeway.engine.analyses.ablate.outcomes import Outcomes, outcomes_of
from causeway.engine.analyses.ablate.readings import ActivationSums, mean_activations, spans
from causeway.engine.analyses.ablate.request import ablate
from causeway.engine.analyses.ablate.substitutions import QUANTILES, SPARSE
from causeway.engine.analyses.attribute.targets import logit_difference
from causeway.engine.analyses.components import neuron_components
from causeway.engine.analyses.components.code_sweep import CodeSweep, HeldCodes
from causeway.engine.analyses.components.components import explicit_effects, found_layers
from causeway.engine.analyses.components.request import components
from causeway.engine.analyses.lens.effects import effects
from causeway.engine.devices import local_parallel
from causeway.engine.frozen.batches import ReadPrompt
from causeway.engine.intervention.requests import UnitEdit
from causeway.engine.model.handle import Model
from causeway.engine.neurons import Neurons
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import CORRECT, INCORRECT, PromptRecord

pytestmark = pytest.mark.usefixtures("double")
RNG = np.random.default_rng(5)
PROMPTS = [RNG.integers(0, 40, length).tolist() for length in (1, 2, 3, *RNG.integers(4, 9, 21))]
PAIRS = np.stack([RNG.permutation(40)[:2] for _ in PROMPTS]).astype(np.int32)
CHOSEN = np.arange(24) % 2 == 1
HELD = np.flatnonzero(~CHOSEN)
NEURONS = Neurons(np.array([0, 0, 1, 1]), np.array([3, 17, 5, 20]))
K = 4


def given_of(tiny, family="llama", neurons=NEURONS, **changes):
    transformer = tiny.make_transformer(tiny.DOUBLE, **tiny.FAMILIES[family] | changes)
    model = Model(transformer, None, f"tiny {family}", identity=f"{family}{changes}")
    reads = tuple(ReadPrompt(tuple(p), len(p) - 1, f"prompt {n}") for n, p in enumerate(PROMPTS))
    sweep = CodeSweep(model, reads, neurons, parallel=local_parallel(1))
    codes = HeldCodes.of_sweep(sweep)
    found = {one.components.layer: one for one in found_layers(sweep, codes, CHOSEN, K)}
    layers = {at: layer_of(one.components, one.table) for at, one in found.items()}
    return Ablation(sweep, codes, CHOSEN, layers, HELD, PAIRS[HELD], K)


@functools.cache
def llama(tiny):
    return given_of(tiny)


@functools.cache
def space(tiny):
    return in_output_space(llama(tiny))


def deviations(given, layer):
    """[B, M, D] and sizes on prompts that chose [C, M], as plain sums."""
    effects_ = np.concatenate([part for _, part in explicit_effects(given.sweep, given.codes, layer)], axis=1)
    off = effects_ - effects_[CHOSEN].mean(axis=0)
    return off[HELD], np.linalg.norm(off[CHOSEN], axis=2)


@pytest.mark.parametrize("family", ["llama", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_changes_are_sums_over_explicit_effects(tiny, family):
    given = given_of(tiny, family)
    sparse = {
        at: np.random.default_rng(at).standard_normal(one.components.mean.shape) for at, one in given.layers.items()
    }
    layers = {at: dataclasses.replace(one, directions={SPARSE: sparse[at]}) for at, one in given.layers.items()}
    found, significant = all_changes(dataclasses.replace(given, layers=layers))
    wanted = {name: np.zeros(found["mean"].shape) for name in found}
    for at, layer in given.layers.items():
        off, train = deviations(given, at)
        sizes, c = np.linalg.norm(off, axis=2), layer.components.component
        beyond = sizes > np.sort(train, axis=0)[-K]
        np.testing.assert_array_equal(significant[at], beyond)
        wanted["mean"] -= off.sum(axis=1)
        wanted["significant"] -= (off * beyond[..., None]).sum(axis=1)
        wanted["insignificant"] -= (off * ~beyond[..., None]).sum(axis=1)
        for name, v in (("rank_1", c), (SPARSE, sparse[at])):
            wanted[name] += (np.einsum("bmd,md->bm", off, v)[..., None] * v - off).sum(axis=1)
        for q in QUANTILES:
            gone = sizes <= np.quantile(train, q, axis=0)
            wanted[f"keep_above_{q:g}"] -= (off * gone[..., None]).sum(axis=1)
    for name, change in wanted.items():
        np.testing.assert_allclose(found[name], change, atol=1e-10, err_msg=name)


def test_what_is_and_is_not_significant_makes_up_all(tiny):
    found, _ = all_changes(llama(tiny))
    np.testing.assert_allclose(found["significant"] + found["insignificant"], found["mean"], atol=1e-12)


def test_an_effect_of_one_head_is_its_component(tiny):
    neurons = Neurons(np.array([1, 1]), np.array([3, 17]))
    found, _ = all_changes(given_of(tiny, neurons=neurons, num_heads=1, num_kv_heads=1))
    np.testing.assert_allclose(found["rank_1"], 0, atol=1e-10)
    assert np.abs(found["mean"]).max() > 1e-3


def test_chunks_change_nothing(tiny, monkeypatch):
    whole, _ = all_changes(llama(tiny))
    monkeypatch.setattr(neuron_components, "CHUNK_BYTES", 1)
    monkeypatch.setattr("causeway.engine.analyses.ablate.substitutions.BLOCK_BYTES", 1)
    other, _ = all_changes(llama(tiny))
    for name, change in whole.items():
        np.testing.assert_allclose(other[name], change, atol=1e-12)


def test_outcomes_are_those_of_plain_probabilities(tiny):
    transformer = llama(tiny).model.transformer
    rng = np.random.default_rng(0)
    clean, change, pairs = rng.standard_normal((5, 16)), rng.standard_normal((5, 16)), PAIRS[:5]
    whole, found = outcomes_of(transformer, clean, {"x": change}, pairs)
    logits = [np.asarray(transformer.logits(jnp.asarray(y))) for y in (clean, clean + change)]
    p, q = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in logits)
    np.testing.assert_allclose(found["x"].kl, (p * np.log(p / q)).sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(whole.kl, 0, atol=1e-12)
    for one, z in ((whole, logits[0]), (found["x"], logits[1])):
        rows = np.arange(5)
        np.testing.assert_allclose(one.difference, z[rows, pairs[:, 0]] - z[rows, pairs[:, 1]], atol=1e-12)


def by_hand(given, plain, plain_orders):
    """Means [3, M] of each layer over the tokens of each kind of prompts that chose."""
    found = {}
    for at in given.sweep.neurons.layers:
        kinds = [[], [], []]
        for number in np.flatnonzero(CHOSEN):
            twin = plain_orders.Recorded(plain, given.model.transformer, np.array(PROMPTS[number]))
            own = twin.found["mlp_act", at][:, given.sweep.neurons.of(at)]
            for kind, (start, stop) in zip(kinds, spans(len(own)), strict=True):
                kind.extend(own[start:stop])
        found[at] = np.array([np.mean(kind, axis=0) for kind in kinds])
    return found


@pytest.mark.slow
def test_live_rows_are_edits_of_neurons_at_the_mean_of_their_kind_of_token(tiny, plain, plain_orders):
    given = llama(tiny)
    means = by_hand(given, plain, plain_orders)
    chosen = tuple(given.sweep.prompts[n] for n in np.flatnonzero(CHOSEN))
    sums = ActivationSums(given.model, chosen, NEURONS).computed()
    found = mean_activations(sums, [len(p.tokens) for p in chosen])
    for at, mean in means.items():
        np.testing.assert_allclose(found[at], mean, atol=1e-12)
    beyond = space(tiny).significant
    outcomes = live_outcomes(given, beyond)
    for row, number in enumerate(HELD):
        tokens, every = PROMPTS[number], []
        for at, mean in means.items():
            for place, neuron in enumerate(NEURONS.of(at)):
                spots = [(s, value) for s, value in zip(spans(len(tokens)), mean[:, place], strict=True) if s[0] < s[1]]
                edits = [UnitEdit(at, int(neuron), v, "mean", f"positions:{a}:{b}", "mlp_act") for (a, b), v in spots]
                every.append((beyond[at][row, place], edits))
        arms = [[e for told, own in every for e in own if keep(told)] for keep in (bool, lambda told: not told)]
        arms = [[e for _, own in every for e in own], *arms]
        wanted = effects(given.model, [tokens], logit_difference(*map(int, PAIRS[number])), arms).values[0]
        for name, value in zip(live.MODES, wanted, strict=True):
            np.testing.assert_allclose(outcomes[name].difference[row], value, atol=1e-5)  # values of edits are float32


def test_live_rows_without_a_neuron_are_clean_passes(tiny):
    given, beyond = llama(tiny), space(tiny).significant
    none = {at: np.zeros_like(one) for at, one in beyond.items()}
    quiet = live_outcomes(given, none)
    np.testing.assert_allclose(quiet["significant"].kl, 0, atol=1e-12)
    np.testing.assert_array_equal(quiet["insignificant"].difference, quiet["mean"].difference)


@pytest.mark.slow
def test_masses_are_absolute_effects_of_all_neurons(tiny):
    given = given_of(tiny, neurons=Neurons.all_of(llama(tiny).model.config, (0,)))
    mass, unembedding = layer_masses(given), np.asarray(given.model.transformer.embedding[...])
    effects_ = np.concatenate([part for _, part in explicit_effects(given.sweep, given.codes, 0)], axis=1)[HELD]
    along = unembedding[given.pairs[:, 0]] - unembedding[given.pairs[:, 1]]
    np.testing.assert_allclose(mass[:, 0], np.abs(np.einsum("bmd,bd->bm", effects_, along)).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(mass[:, -1], 0)


def test_a_report_has_every_substitution_and_verdict(tiny):
    found = live_outcomes(llama(tiny), space(tiny).significant)
    table, report = ablation_results(llama(tiny), space(tiny), found, layer_masses(llama(tiny)))
    rows = table.to_pylist()
    assert len(rows) == 3 * (len(space(tiny).outcomes) + 3)
    kl = [row for row in rows if row["outcome"] == "kl"]
    assert all(row["q"] is None and row["effect"] >= 0 for row in kl)
    assert {c["verdict"] for c in report["criteria"]} <= {"met", "not met", "cannot tell", ""}
    assert "by construction" in report["criteria"][0]["note"]
    assert set(report["live_and_output"]) == set(live.MODES)
    assert len(lines(table, report)) == 1 + len(rows) // 3 + 3 + len(report["criteria"])


@pytest.mark.parametrize(
    ("low", "high", "below", "verdict"),
    [
        (0.01, 0.04, True, "met"), (0.06, 0.2, True, "not met"), (0.01, 0.2, True, "cannot tell"),
        (0.01, 0.04, False, "not met"), (0.06, 0.2, False, "met"), (np.nan, np.nan, True, "cannot tell"),
    ],
)  # fmt: skip
def test_a_criterion_is_met_where_its_whole_interval_is(low, high, below, verdict):
    assert estimates.Criterion("x", 0.03, low, high, 0.05, below).verdict == verdict


def test_agreement_of_what_is_the_same_is_whole():
    rng = np.random.default_rng(1)
    clean, other = Outcomes(rng.standard_normal(20), np.zeros(20)), Outcomes(rng.standard_normal(20), np.zeros(20))
    (found,) = estimates.agreement(clean, {"mean": other}, {"mean": other}).values()
    assert found["correlation"] == pytest.approx(1)
    assert found["sign_agreement"] == 1


def records():
    return [
        PromptRecord("", (Answer("a", CORRECT), Answer("b", INCORRECT)), tokens=tuple(p), id=str(n), split=split)
        for n, p in enumerate(PROMPTS)
        for split in ["train" if CHOSEN[n] else "test"]
    ]


def test_answers_that_part_elsewhere_are_refused(tiny, refuses, monkeypatch):
    model, name = llama(tiny).model, "causeway.engine.analyses.ablate.ablate.diverging_answers"
    read, record = ReadPrompt((1, 2), 1, "one"), records()[0]
    told = dataclasses.make_dataclass("Told", ["prompt", "tokens"])
    monkeypatch.setattr(name, lambda *_: told((1, 2), (3, 4)))
    assert answer_tokens(model, record, read) == (3, 4)
    monkeypatch.setattr(name, lambda *_: told((1, 2, 9), (3, 4)))
    with refuses("its answers part after 3 tokens, but its components are of token 1 of 2; make these with --position"):
        answer_tokens(model, record, read)


@pytest.mark.slow
def test_the_call_refuses_other_prompts(tiny, refuses):
    model = llama(tiny).model
    found = components(model, records(), layer=1, largest=3)
    assert found.chosen.tolist() == CHOSEN.tolist()
    with refuses("needs the 24 that the components were found on"):
        ablate(model, records()[1:], found)
    with refuses("components: got None; needs what cw.components gives"):
        ablate(model, records(), None)
    with refuses("components: found in another model"):
        ablate(given_of(tiny, "gpt2", neurons=Neurons(np.array([1]), np.array([0]))).model, records(), found)
