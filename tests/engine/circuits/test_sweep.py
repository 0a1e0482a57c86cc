"""Sweeps of interventions: resumable, each row what `intervene` gives, patches of pairs, predictions of graphs."""

import dataclasses

import jax
import numpy as np
import pyarrow as pa
import pytest

from causeway.engine import experiment
from causeway.engine.attribution.prompts import CircuitPrompt
from causeway.engine.attribution.sweep import GraphSweep
from causeway.engine.circuits.importance import Importance
from causeway.engine.circuits.intervene import CleanRun, intervene
from causeway.engine.circuits.pairs import aligned, minimal_pairs
from causeway.engine.circuits.predicted import Predictor, agreement
from causeway.engine.circuits.results import documented_relative_effect, documented_replacement_difference, results_of
from causeway.engine.circuits.rows import Intervention
from causeway.engine.circuits.sets import Place
from causeway.engine.circuits.settings import InterventionSettings
from causeway.engine.circuits.stored_graphs import StoredGraphs
from causeway.engine.circuits.summary import SummarySettings, agreements, summarise
from causeway.engine.circuits.sweep import InterventionSweep
from causeway.engine.devices import local_parallel
from causeway.engine.frozen.plan import AttributionPlan
from causeway.engine.frozen.targets import logit_difference

pytestmark = pytest.mark.usefixtures("double")
ONE = local_parallel(1)


def prompt(name: str, tokens: list[int], answers: tuple[int, int]) -> CircuitPrompt:
    return CircuitPrompt(
        name, "letters", "train", tuple(tokens), (logit_difference(*answers),), {"subject": 2}, answers
    )


PROMPTS = (
    prompt("a", [7, 31, 2, 19, 4], (5, 9)), prompt("b", [7, 31, 3, 19, 4], (9, 5)),
    prompt("c", [7, 1, 3, 9, 4], (9, 5)), prompt("d", [7, 30, 2, 11, 19, 4], (5, 9)),
)  # fmt: skip


@pytest.fixture(scope="module")
def double():
    """float64 in all threads: a sweep computes in its own."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(scope="module")
def model(double, tiny, cases):
    return cases.make_model(tiny, "llama")


@pytest.fixture(scope="module")
def transcoders(double, tiny, cases):
    return cases.make_dictionary(tiny, "relu")


@pytest.fixture(scope="module")
def graphs(model, transcoders, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("graphs")
    GraphSweep(model, transcoders, PROMPTS, AttributionPlan(max_feature_nodes=None), ONE).run(workdir)
    return StoredGraphs.open(workdir)


@pytest.fixture
def sweep(model, transcoders):
    def make(graphs=None, **settings):
        return InterventionSweep(model, transcoders, PROMPTS, InterventionSettings(rows=8, **settings), ONE, graphs)

    return make


def tables(sweep, workdir):
    sweep.run(workdir)
    return list(sweep.tables(workdir))


def test_rows_are_what_intervene_gives_and_resume_is_the_same(sweep, model, transcoders, tmp_path):
    features = (Place(1, 2, 5), Place(0, None, 3), Place(2, -1, 7, 4.0))
    operations = (("zero", 0.0), ("inhibit", 2.0), ("set", 1.5), ("patch", 0.0))
    asked = sweep(features=features, operations=operations, kinds=("single", "layer"))
    found = tables(asked, tmp_path / "once")
    assert [len(table) for table in found] == [24, 24, 24, 18]
    rows = [row for table in found for row in table.to_pylist()]
    by = {(r["id"], r["kind"], r["operation"], r["layer"]): r for r in rows}
    clean = experiment.run(model, [p.tokens for p in PROMPTS]).logits
    assert by["a", "single", "zero", 0]["baseline"] == pytest.approx(clean[0][-1, 5] - clean[0][-1, 9], abs=1e-12)
    expected = {
        ("a", "zero", 1): [(1, 2, 5, 0.0)], ("a", "set", 2): [(2, 4, 7, 4.0)],
        ("d", "inhibit", 0): [Intervention(0, slice(None), 3, 2.0, "inhibit")],
    }  # fmt: skip
    for (name, operation, layer), changes in expected.items():
        row, one = by[name, "single", operation, layer], next(p for p in PROMPTS if p.id == name)
        logits = intervene(model, transcoders, one.tokens, changes).logits[-1]
        assert row["intervened"] == pytest.approx(logits[5] - logits[9], abs=1e-12)
    assert (by["a", "single", "zero", 1]["place"], by["a", "single", "set", 2]["place"]) == ("subject", "end-0")
    asked.run(tmp_path / "twice")
    (tmp_path / "twice" / "units").joinpath(
        sorted(p.name for p in (tmp_path / "twice/units").glob("*.json"))[1]
    ).unlink()
    again = tables(asked, tmp_path / "twice")
    assert [table.to_pylist() for table in again] == [table.to_pylist() for table in found]


def test_patching_brings_the_partners_values_in(sweep, model, transcoders, tmp_path):
    asked = sweep(features=(Place(1, 2, 5),), operations=(("patch", 0.0),))
    assert asked.partners == {0: 1, 1: 0, 2: 0}
    row = tables(asked, tmp_path)[0].to_pylist()[0]
    value = CleanRun(model, transcoders, PROMPTS[1].tokens).activations(1)[2, 5]
    logits = intervene(model, transcoders, PROMPTS[0].tokens, [(1, 2, 5, value)]).logits[-1]
    partner = experiment.run(model, PROMPTS[1].tokens).logits[0][-1]
    assert (row["correct"], row["incorrect"]) == (9, 5)
    assert row["intervened"] == pytest.approx(logits[9] - logits[5], abs=1e-12)
    assert row["clean"] == pytest.approx(partner[9] - partner[5], abs=1e-12)
    summary = summarise(next(iter(asked.tables(tmp_path))), SummarySettings(min_gap=0.0))[0]
    gap = row["clean"] - row["baseline"]
    assert summary["recovery"] == pytest.approx((row["intervened"] - row["baseline"]) / gap)


def test_pairs_are_of_equal_length_and_roles_meet(refuses):
    moved = dataclasses.replace(PROMPTS[1], roles={"subject": 1})
    np.testing.assert_array_equal(aligned(PROMPTS[0], moved), [0, 1, 1, 3, 4])
    with refuses("5 tokens and d 6"):
        aligned(PROMPTS[0], PROMPTS[3])
    with refuses("none of 2 prompts has a partner"):
        minimal_pairs((PROMPTS[0], PROMPTS[3]))


def test_constrained_rows_move_as_predicted(sweep, graphs, tmp_path):
    """Also of sets of several layers: what is held makes their edges add."""
    kinds = ("single", "layer", "circuit", "complement")
    operations = (("zero", 0.0), ("scale", 3.0), ("patch", 0.0))
    asked = sweep(graphs, mode="constrained", kinds=kinds, operations=operations, max_features=9)
    for table in tables(asked, tmp_path):
        rows = [row for row in table.to_pylist() if row["operation"] != "patch"]
        assert {row["kind"] for row in rows} == set(kinds)
        moved = [row["intervened"] - row["baseline"] for row in rows]
        np.testing.assert_allclose(moved, [row["predicted"] for row in rows], atol=1e-9)
    found = agreements(asked.tables(tmp_path))
    exact = [entry for entry in found if entry["operation"] == "scale"]
    np.testing.assert_allclose([entry["slope"] for entry in exact], 1, atol=1e-9)


def test_open_rows_have_total_effects_as_prediction(sweep, graphs, tmp_path):
    asked = sweep(graphs, kinds=("single", "circuit", "complement"), max_features=12)
    table = tables(asked, tmp_path)[0].to_pylist()
    graph = graphs.read("a", PROMPTS[0].tokens)
    totals = dict(zip(map(tuple, graph.features.tolist()), graph.total_effects(), strict=False))
    for row in table:
        if row["kind"] == "single":
            key = row["layer"], row["position"], row["features"][0]
            assert row["predicted"] == pytest.approx(-totals[key])
        else:
            assert row["predicted"] is None
    sizes = {row["kind"]: row["slots"] for row in table}
    assert sizes["circuit"] + sizes["complement"] == len(graph.features)


def test_summaries_count_prompts_and_correct(sweep, tmp_path):
    asked = sweep(features=(Place(1, None, 5), Place(2, None, 7)), operations=(("set", 2.0),))
    rows = pa.concat_tables(tables(asked, tmp_path))
    effects = {(r["layer"], r["id"]): r["baseline"] - r["intervened"] for r in rows.to_pylist()}
    for summary in summarise(rows):
        mine = [effects[summary["layer"], p.id] for p in PROMPTS]
        assert summary["prompts"] == 4
        assert summary["effect"] == pytest.approx(np.mean(mine))
        assert summary["effect_low"] < summary["effect"] < summary["effect_high"]
        assert summary["q"] >= summary["p"]
        assert np.isnan(summary["recovery"])


def test_results_have_the_documented_fields(sweep, model, tmp_path):
    table = tables(sweep(features=(Place(1, 2, 5),), operations=(("zero", 0.0), ("inhibit", 2.0))), tmp_path)[0]
    plain, documented = (results_of(model, PROMPTS[0].tokens, table, flag) for flag in (False, True))
    assert [r.intervention_type for r in plain] == ["ablation_zero", "ablation_inhibit_2"]
    assert plain[0].relative_effect is None
    one = documented[0]
    assert one.effect_size == one.baseline_logit_diff - one.intervened_logit_diff
    assert one.relative_effect == pytest.approx(one.effect_size / abs(one.baseline_logit_diff))
    assert documented_relative_effect(0.0, 1.0) is None


def test_the_documented_replacement_puts_the_decoding_in_the_streams_place(model, transcoders, plain, plain_frozen):
    tokens, encoder = PROMPTS[0].tokens, plain_frozen.Encoder(transcoders)

    def hook(stream, layer, x):
        if (stream, layer) != ("resid_pre", 1):
            return x
        f = encoder.values(1, x)
        f[:, 5] *= -2.0
        decoded = encoder.written(1, np.stack([f] * 3)) + encoder.bias(1)
        return np.concatenate([x[:-1], decoded[-1:]])

    logits = plain.logits(model.transformer, tokens, hook)[-1]
    found = documented_replacement_difference(model, transcoders, tokens, 1, [5], (5, 9), 2.0)
    assert found == pytest.approx(logits[5] - logits[9], abs=1e-6)


def test_importance_is_correlation_with_control(model, transcoders):
    rng, importance = np.random.default_rng(0), Importance((0, 2), 24)
    x, y = [], []
    for _ in range(12):
        run = CleanRun(model, transcoders, rng.integers(0, 40, 6).tolist())
        y.append(rng.normal())
        x.append([run.activations(layer)[1:].max(axis=0) for layer in (0, 2)])
        importance.add(run, y[-1])
    x = np.array(x)
    for row, layer in enumerate(importance.result(min_active=4)):
        active = (x[:, row] != 0).sum(axis=0)
        np.testing.assert_array_equal(np.isnan(layer.p), active < 4)
        for f in np.flatnonzero(active >= 4):
            assert layer.correlation[f] == pytest.approx(np.corrcoef(x[:, row, f], y)[0, 1])
        assert np.nanmin(layer.q) >= np.nanmin(layer.p)


def test_agreement_is_a_line(graphs):
    x = np.arange(6.0)
    found = agreement(np.append(x, np.nan), np.append(2 * x + 1, 0))
    assert (found.points, found.slope, found.spearman) == (6, pytest.approx(2), pytest.approx(1))
    assert np.isnan(agreement(x[:2], x[:2]).slope)
    predictor = Predictor(graphs.read("a", PROMPTS[0].tokens), (5, 8), "open")
    assert predictor.graph.logits[0].token == -1


@pytest.mark.parametrize(("settings", "what"), [
    ({"operations": ()}, "none"), ({"operations": (("double", 1.0),)}, "double"), ({"mode": "shut"}, "shut"),
    ({"kinds": ("pair",)}, "pair"), ({"max_features": 0}, "max_features"), ({}, "graphs: none"),
    ({"features": (Place(1, 9, 5),)}, "position 9"), ({"features": (Place(3, 0, 5),)}, "layer 3"),
    ({"features": (Place(1, 0, 99),)}, "feature 99"),
])  # fmt: skip
def test_what_cannot_be_swept(sweep, refuses, settings, what):
    with refuses(what):
        sweep(**settings)
