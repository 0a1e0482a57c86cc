"""Sweeps of interventions: resumable, each row what `intervene` gives, patches of pairs, predictions of graphs."""

import dataclasses
import shutil

import jax
import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph_sweep import GraphSweep
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.attribute.targets import logit_difference
from causeway.engine.analyses.intervene.clean_run import CleanRun
from causeway.engine.analyses.intervene.generation import changed_texts
from causeway.engine.analyses.intervene.importance import Importance, read_importance
from causeway.engine.analyses.intervene.intervene import intervene
from causeway.engine.analyses.intervene.intervention_summary import SummarySettings, agreements, summarise
from causeway.engine.analyses.intervene.intervention_sweep import InterventionSweep
from causeway.engine.analyses.intervene.pairs import aligned, minimal_pairs
from causeway.engine.analyses.intervene.predicted import Predictor, agreement
from causeway.engine.analyses.intervene.results import (
    published_relative_effect,
    results_of,
)
from causeway.engine.analyses.intervene.sets import Place
from causeway.engine.analyses.intervene.settings import InterventionSettings
from causeway.engine.analyses.intervene.stored_graphs import StoredGraphs
from causeway.engine.calls.generate import generate
from causeway.engine.calls.run import run
from causeway.engine.devices import local_parallel
from causeway.engine.intervention.requests import FeatureEdit
from causeway.engine.model.handle import Model
from causeway.engine.stats.splits import held_out
from causeway.engine.sweep import job

pytestmark = pytest.mark.usefixtures("double")
ONE = local_parallel(1)


def prompt(name: str, tokens: list[int], answers: tuple[int, int]) -> CircuitPrompt:
    return CircuitPrompt(
        name, "letters", "train", tuple(tokens), (logit_difference(*answers),), {"subject": 2}, answers
    )


@pytest.mark.slow
def test_continuations_are_of_cross_layer_features_too(tiny, cases):
    dictionary = cases.make_dictionary(tiny, "cross_layer")
    settings = InterventionSettings(operations=(("set", 4.0),), features=(Place(1, None, 5, None),))
    sweep = InterventionSweep(cases.make_model(tiny, "llama"), dictionary, PROMPTS[:1], settings, ONE, None)
    wanted = changed_texts(sweep, 3, 0.0, 0).wanted
    (clean,), (changed,) = (
        generate(sweep.model, row.tokens, dictionary=dictionary, edits=row.edits, max_new_tokens=3, temperature=0)
        for row in wanted.rows
    )
    assert wanted.rows[1].edits == (FeatureEdit(1, 5, 4.0),)
    assert clean.generation.tokens.shape == changed.generation.tokens.shape == (1, 3)


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
    job.run(GraphSweep(model, transcoders, PROMPTS, AttributionPlan(max_feature_nodes=None), ONE), workdir)
    return StoredGraphs.open(workdir)


@pytest.mark.parametrize("name", ["graphs.parquet", "graphs.json", "plan.json"])
def test_graphs_that_changed_since_are_not_opened(graphs, tmp_path, name):
    shutil.copytree(graphs.path.parent, tmp_path / "run")
    assert StoredGraphs.open(tmp_path / "run").digest == graphs.digest
    path = tmp_path / "run" / name
    data = path.read_bytes()
    for at in np.linspace(1, len(data) - 4, 8).astype(int):
        place = data.find(b'"', at) + 1 if name.endswith("json") else at
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=rf"{name}: (corrupted|damaged).*--repair"):
            StoredGraphs.open(tmp_path / "run")


@pytest.fixture
def sweep(model, transcoders):
    def make(graphs=None, **settings):
        return InterventionSweep(model, transcoders, PROMPTS, InterventionSettings(rows=8, **settings), ONE, graphs)

    return make


def tables(sweep, workdir):
    job.run(sweep, workdir)
    return list(job.tables(sweep, workdir))


def test_a_role_is_the_token_that_each_prompt_has_there(sweep, tmp_path):
    named, numbered = (sweep(features=(Place(1, at, 5),), operations=(("set", 2.0),)) for at in ("subject", 2))
    assert named.plan.fingerprint != numbered.plan.fingerprint
    first, second = (tables(asked, tmp_path / str(i)) for i, asked in enumerate((named, numbered)))
    assert [table.to_pylist() for table in first] == [table.to_pylist() for table in second]
    (row,) = [row for row in changed_texts(named, 3, 0.0, 0).wanted.rows if row.name == "prompt d" and row.edits]
    assert row.edits == (FeatureEdit(1, 5, 2.0, scope="positions:2"),)


@pytest.mark.slow
def test_rows_are_what_intervene_gives_and_resume_is_the_same(sweep, model, transcoders, tmp_path):
    features = (Place(1, 2, 5), Place(0, None, 3), Place(2, -1, 7, 4.0))
    operations = (("zero", 0.0), ("inhibit", 2.0), ("set", 1.5), ("patch", 0.0))
    asked = sweep(features=features, operations=operations, kinds=("single", "layer"))
    found = tables(asked, tmp_path / "once")
    assert [len(table) for table in found] == [24, 24, 24, 18]
    rows = [row for table in found for row in table.to_pylist()]
    by = {(r["id"], r["kind"], r["operation"], r["layer"]): r for r in rows}
    clean = run(model, [p.tokens for p in PROMPTS]).logits
    assert by["a", "single", "zero", 0]["baseline"] == pytest.approx(clean[0][-1, 5] - clean[0][-1, 9], abs=1e-12)
    expected = {
        ("a", "zero", 1): [(1, 2, 5, 0.0)], ("a", "set", 2): [(2, 4, 7, 4.0)],
        ("d", "inhibit", 0): [FeatureEdit(0, 3, 2.0, "inhibit")],
    }  # fmt: skip
    for (name, operation, layer), changes in expected.items():
        row, one = by[name, "single", operation, layer], next(p for p in PROMPTS if p.id == name)
        logits = intervene(model, one.tokens, transcoders, changes).logits[-1]
        assert row["intervened"] == pytest.approx(logits[5] - logits[9], abs=1e-12)
    assert (by["a", "single", "zero", 1]["place"], by["a", "single", "set", 2]["place"]) == ("subject", "end-0")
    job.run(asked, tmp_path / "twice")
    (tmp_path / "twice" / "units").joinpath(
        sorted(p.name for p in (tmp_path / "twice/units").glob("*.json"))[1]
    ).unlink()
    again = tables(asked, tmp_path / "twice")
    assert [table.to_pylist() for table in again] == [table.to_pylist() for table in found]


def test_patching_brings_the_partners_values_in(sweep, model, transcoders, tmp_path):
    asked = sweep(features=(Place(1, 2, 5),), operations=(("patch", 0.0),))
    assert {index: partner.id for index, partner in asked.partners.items()} == {0: "b", 1: "a", 2: "a"}
    row = tables(asked, tmp_path)[0].to_pylist()[0]
    value = CleanRun(model, transcoders, PROMPTS[1].tokens).activations(1)[2, 5]
    logits = intervene(model, PROMPTS[0].tokens, transcoders, [(1, 2, 5, value)]).logits[-1]
    partner = run(model, PROMPTS[1].tokens).logits[0][-1]
    assert (row["correct"], row["incorrect"]) == (9, 5)
    assert row["intervened"] == pytest.approx(logits[9] - logits[5], abs=1e-12)
    assert row["clean"] == pytest.approx(partner[9] - partner[5], abs=1e-12)
    summary = summarise(next(job.tables(asked, tmp_path)), SummarySettings(min_gap=0.0))[0]
    gap = row["clean"] - row["baseline"]
    assert summary["recovery"] == pytest.approx((row["intervened"] - row["baseline"]) / gap)


def test_every_operation_of_edits_is_swept(sweep, model, transcoders, tmp_path):
    operations = (("at_most", 0.1), ("at_least", 1.5), ("add", 0.5), ("own", 0.0))
    asked = sweep(features=(Place(1, 2, 5),), operations=operations)
    found = tables(asked, tmp_path)[0].to_pylist()
    for row, (operation, value) in zip(found, operations, strict=True):
        edit = FeatureEdit(1, 5, value, operation, scope=2)
        logits = intervene(model, PROMPTS[0].tokens, transcoders, [edit]).logits[-1]
        assert row["intervened"] == pytest.approx(logits[row["correct"]] - logits[row["incorrect"]], abs=1e-12)
    assert found[-1]["intervened"] == pytest.approx(found[-1]["baseline"], abs=1e-12)
    assert found[1]["intervened"] != found[1]["baseline"]


def test_pairs_are_of_equal_length_and_roles_meet(refuses):
    moved = dataclasses.replace(PROMPTS[1], roles={"subject": 1})
    np.testing.assert_array_equal(aligned(PROMPTS[0], moved), [0, 1, 1, 3, 4])
    with refuses("5 tokens and d 6"):
        aligned(PROMPTS[0], PROMPTS[3])
    with refuses("none of 2 prompts has a partner"):
        minimal_pairs((PROMPTS[0], PROMPTS[3]))


@pytest.mark.slow
def test_constrained_rows_move_as_predicted(sweep, graphs, tmp_path):
    """Also of sets of several layers: what is held makes their edges add."""
    kinds = ("single", "layer", "circuit", "complement")
    operations = (("zero", 0.0), ("scale", 3.0), ("patch", 0.0))
    asked = sweep(graphs, holds="constrained", kinds=kinds, operations=operations, max_features=9)
    for table in tables(asked, tmp_path):
        rows = [row for row in table.to_pylist() if row["operation"] != "patch"]
        assert {row["kind"] for row in rows} == set(kinds)
        moved = [row["intervened"] - row["baseline"] for row in rows]
        np.testing.assert_allclose(moved, [row["predicted"] for row in rows], atol=1e-9)
    found = agreements(job.tables(asked, tmp_path))
    exact = [entry for entry in found if entry["operation"] == "scale"]
    np.testing.assert_allclose([entry["slope"] for entry in exact], 1, atol=1e-9)


def test_open_rows_have_total_effects_as_prediction(sweep, graphs, tmp_path):
    asked = sweep(graphs, kinds=("single", "circuit", "complement"), max_features=12)
    table = tables(asked, tmp_path)[0].to_pylist()
    graph = graphs.read("a")
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
        assert np.isnan([summary[name] for name in ("effect_low", "effect_high", "p", "q")]).all()
        assert np.isnan(summary["recovery"])


def test_results_have_the_documented_fields(sweep, model, tmp_path):
    table = tables(sweep(features=(Place(1, 2, 5),), operations=(("zero", 0.0), ("inhibit", 2.0))), tmp_path)[0]
    plain, published = (results_of(model, PROMPTS[0].tokens, table, flag) for flag in (False, True))
    assert [r.intervention_type for r in plain] == ["ablation_zero", "ablation_inhibit_2"]
    ones = pa.Table.from_pylist(
        [table.to_pylist()[0] | {"operation": name, "value": 1.0} for name in ("set", "inhibit")]
    )
    types = [r.intervention_type for r in results_of(model, PROMPTS[0].tokens, ones)]
    assert types == ["ablation_set_1", "ablation_inhibit"]
    assert plain[0].relative_effect is None
    one = published[0]
    assert one.effect_size == one.baseline_logit_diff - one.intervened_logit_diff
    assert one.relative_effect == pytest.approx(one.effect_size / abs(one.baseline_logit_diff))
    assert published_relative_effect(0.0, 1.0) is None


def test_importance_is_correlation_with_control(model, transcoders):
    rng, x = np.random.default_rng(0), []
    y = rng.normal(size=12)
    importance = Importance((0, 2), 24, y.tolist())
    scores = stats.norm.ppf((stats.rankdata(y) - 0.5) / 12)
    for _ in range(12):
        run = CleanRun(model, transcoders, rng.integers(0, 40, 6).tolist())
        x.append([run.activations(layer)[1:].max(axis=0) for layer in (0, 2)])
        for layer, values in zip((0, 2), x[-1], strict=True):
            importance.add(layer, np.array([len(x) - 1]), values[None])
    x = np.array(x)
    for row, layer in enumerate(importance.result(min_active=4)):
        active = (x[:, row] != 0).sum(axis=0)
        np.testing.assert_array_equal(np.isnan(layer.p), active < 4)
        for f in np.flatnonzero(active >= 4):
            assert layer.correlation[f] == pytest.approx(np.corrcoef(x[:, row, f], y)[0, 1])
            expected = stats.pearsonr(x[:, row, f], scores)
            assert (layer.score[f], layer.p[f]) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
        assert np.nanmin(layer.q) >= np.nanmin(layer.p)


@pytest.mark.slow
@pytest.mark.parametrize("reading", ["max", "last"])
def test_importance_reads_what_a_clean_run_has(model, transcoders, reading):
    rng = np.random.default_rng(0)
    prompts = [(rng.integers(0, 40, n).tolist(), (3, 7)) for n in (6, 1, 9, 6)]
    found = read_importance(model, transcoders, prompts, reading, keep=True)
    runs = [CleanRun(model, transcoders, ids) for ids, _ in prompts]
    y = np.array([run.logits[-1][3] - run.logits[-1][7] for run in runs])
    np.testing.assert_allclose(found.y[0], y - y.mean(), atol=1e-9)
    for row, layer in enumerate(found.layers):
        f = [run.activations(layer) for run in runs]
        x = np.stack([one[-1] if reading == "last" or len(one) == 1 else one[1:].max(axis=0) for one in f])
        np.testing.assert_allclose(found.mean[row], x.mean(axis=0), atol=1e-9)
        np.testing.assert_array_equal(found.active[row], (x != 0).sum(axis=0))
        for prompt in range(len(prompts)):
            np.testing.assert_allclose(found.kept[row][prompt].toarray()[0], x[prompt], atol=1e-9)


def test_sets_of_one_kind_are_one_row_wherever_they_lie(sweep, tmp_path):
    """That a prompt's circuit happens to lie in one layer does not take it out of the mean."""
    table = tables(sweep(features=(Place(1, None, 5),), kinds=("layer",)), tmp_path)[0].to_pylist()[0]
    rows = [
        table | {"kind": "circuit", "prompt": i, "layer": at, "intervened": 1.0 * i} for i, at in enumerate((-1, 2))
    ]
    [found] = summarise(pa.Table.from_pylist(rows))
    assert (found["prompts"], found["layer"]) == (2, -1)


def test_the_complement_has_all_active_features_whatever_the_budget(model, transcoders, sweep, tmp_path):
    workdir = tmp_path / "graphs"
    job.run(GraphSweep(model, transcoders, PROMPTS, AttributionPlan(max_feature_nodes=2), ONE), workdir)
    asked = sweep(StoredGraphs.open(workdir), kinds=("circuit", "complement"))
    for prompt, table in zip(PROMPTS, tables(asked, tmp_path / "swept"), strict=True):
        run = CleanRun(model, transcoders, prompt.tokens)
        assert sum(table["slots"].to_pylist()) == sum((run.activations(layer)[1:] != 0).sum() for layer in range(3))


def test_graphs_of_something_else_are_refused(sweep, graphs, tiny, model, transcoders, refuses):
    others = tiny.make_dictionary("relu", (0, 1, 2), "mlp_in", write_stream="mlp_out", dtype="float64", seed=9)
    with refuses("other transcoders"):
        InterventionSweep(model, others, PROMPTS, InterventionSettings(), ONE, graphs)
    with refuses("other model"):
        another = Model(tiny.make_transformer(tiny.DOUBLE, seed=5), None, "another", "another")
        InterventionSweep(another, transcoders, PROMPTS, InterventionSettings(), ONE, graphs)
    for change, what in (
        ({"targets": (logit_difference(5, 8),), "answers": (5, 8)}, "explains '5 - 9'"),
        ({"tokens": (7, 31, 2, 19, 5)}, "other tokens"), ({"id": "z"}, "no graph of prompt z"),
    ):  # fmt: skip
        changed = (dataclasses.replace(PROMPTS[0], **change), *PROMPTS[1:])
        with refuses(what):
            InterventionSweep(model, transcoders, changed, InterventionSettings(), ONE, graphs)


def test_a_counterfactual_is_the_partner(model, transcoders, tmp_path):
    other = (7, 31, 3, 20, 4)
    prompts = (dataclasses.replace(PROMPTS[0], counterfactual=other), *PROMPTS[1:])
    settings = InterventionSettings((("patch", 0.0),), features=(Place(1, 2, 5),), rows=8)
    asked = InterventionSweep(model, transcoders, prompts, settings, ONE)
    assert asked.partners[0].tokens == other
    row = tables(asked, tmp_path)[0].to_pylist()[0]
    value = CleanRun(model, transcoders, other).activations(1)[2, 5]
    logits = intervene(model, PROMPTS[0].tokens, transcoders, [(1, 2, 5, value)]).logits[-1]
    clean = run(model, other).logits[0][-1]
    assert row["intervened"] == pytest.approx(logits[9] - logits[5], abs=1e-12)
    assert row["clean"] == pytest.approx(clean[9] - clean[5], abs=1e-12)


def test_features_chosen_on_some_prompts_are_changed_on_the_others(sweep, graphs, model, transcoders, tmp_path):
    asked = sweep(graphs, held_out=0.5, max_features=5, kinds=("single", "layer", "circuit"))
    found = tables(asked, tmp_path)
    assert asked.is_held_out.sum() == 2
    sizes = {}
    for prompt in (p for p, held in zip(PROMPTS, asked.is_held_out, strict=True) if not held):
        graph = graphs.read(prompt.id)
        effects = graph.total_effects()[: len(graph.features)]
        for (layer, position, feature), effect in zip(graph.features.tolist(), effects, strict=True):
            place = "subject" if position == 2 else f"end-{len(prompt.tokens) - 1 - position}"
            sizes[layer, place, feature] = sizes.get((layer, place, feature), 0) + abs(effect)
    strongest = set(sorted(sizes, key=lambda key: -sizes[key])[:5])
    for prompt, held, table in zip(PROMPTS, asked.is_held_out, found, strict=True):
        rows = [row for row in table.to_pylist() if row["kind"] == "single"]
        assert {(r["layer"], r["place"], r["features"][0]) for r in rows} == (strongest if held else set())
        assert "circuit" in table["kind"].to_pylist()
        for row in rows:
            logits = intervene(
                model, prompt.tokens, transcoders, [(row["layer"], row["position"], row["features"][0], 0.0)]
            ).logits[-1]
            change = logits[prompt.answers[0]] - logits[prompt.answers[1]]
            assert row["intervened"] == pytest.approx(change, abs=1e-12)
    summary = [entry for entry in summarise(pa.concat_tables(found)) if entry["kind"] == "single"]
    assert [entry["prompts"] for entry in summary] == [2] * 5


def test_effects_over_enough_prompts_have_p_and_interval_of_one_method():
    rng = np.random.default_rng(4)
    kept = {"kind": "single", "operation": "zero", "value": 0.0, "layer": 1, "place": "end-0", "clean": None}
    rows = [kept | {"features": [f], "prompt": p, "baseline": 1.0, "intervened": 1.0 - x} for f in range(30)
            for p, x in enumerate(rng.exponential(size=12) - 1.0 + 0.2 * f)]  # fmt: skip
    found = summarise(pa.Table.from_pylist(rows))
    for entry in found:
        assert entry["effect_low"] < entry["effect"] < entry["effect_high"]
        assert (entry["p"] < 0.05) == (entry["effect_low"] > 0 or entry["effect_high"] < 0)
    assert {entry["q"] < 0.05 for entry in found} == {True, False}


def test_importance_holds_its_error_whatever_the_differences(model):
    """Sparse features and heavy tails, where Student's t of the plain correlation finds dozens in nothing."""
    rng = np.random.default_rng(1)
    prompts, features = 100, 2000
    x = np.where(rng.random((prompts, features)) < 0.08, rng.exponential(size=(prompts, features)), 0)
    importance = Importance((0,), features, (rng.exponential(size=prompts) ** 2).tolist())
    importance.add(0, np.arange(prompts), x)
    [found] = importance.result()
    assert np.nanmean(found.p < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.nanmean(found.p < 1e-3) < 3e-3
    assert not np.nansum(found.q < 0.05)


def test_what_is_found_is_estimated_on_prompts_held_out():
    """Of nothing found by luck the held-out interval holds 0 as often as it says; a real one is confirmed."""
    rng = np.random.default_rng(2)
    sides = []
    for prompts in (200, 100):
        x = np.abs(rng.standard_normal((prompts, 40)))
        y = x[:, 0] + 0.5 * rng.standard_normal(prompts)
        side = Importance((3,), 40, y.tolist(), keep=True)
        side.add(3, np.arange(prompts), x)
        sides.append(side)
    [found] = sides[0].result(held_out=sides[1])
    again = found.held_out
    np.testing.assert_array_equal(np.isnan(again.score), ~(found.q <= 0.05))
    assert (found.prompts, again.prompts) == (200, 100)
    assert again.low[0] > 0.5
    assert again.low[0] < again.score[0] < again.high[0]
    assert again.q[0] < 1e-6


def test_the_held_out_interval_covers_the_score_of_heavy_tails():
    """2,000 features alike, x = exp(y + noise): the correlation of ranks is that of y with y + noise."""
    rng = np.random.default_rng(3)
    prompts, features = 40, 2000
    y = rng.standard_normal(prompts)
    side = Importance((0,), features, y.tolist(), keep=True)
    side.add(0, np.arange(prompts), np.exp(2 * (y[:, None] + rng.standard_normal((prompts, features)))))
    [again] = side._again(np.ones((1, features), bool), 1, "bh")
    # One draw of y stands for all features: its own spread of ranks is the normal scores'.
    truth = np.median(again.score)
    assert 0.93 < np.mean((again.low < truth) & (truth < again.high)) < 0.995


def test_shares_that_cannot_be_held_out(refuses):
    with refuses("held_out: got 1"):
        held_out(range(10), 1.0)
    with refuses("1 prompts cannot be split"):
        held_out([1], 0.5)
    assert [int(held_out(range(9), share, 3).sum()) for share in (0.0, 0.01, 0.5, 0.99)] == [0, 1, 4, 8]


def test_agreement_is_a_line(graphs):
    x = np.arange(6.0)
    found = agreement(np.append(x, np.nan), np.append(2 * x + 1, 0))
    assert (found.points, found.slope, found.spearman) == (6, pytest.approx(2), pytest.approx(1))
    assert np.isnan(agreement(x[:2], x[:2]).slope)
    predictor = Predictor(graphs.read("a"), (5, 8), "open")
    assert predictor.graph.logits[0].token == -1


@pytest.mark.parametrize(("settings", "what"), [
    ({"operations": ()}, "none"), ({"operations": (("double", 1.0),)}, "double"), ({"holds": "shut"}, "shut"),
    ({"kinds": ("pair",)}, "pair"), ({"max_features": 0}, "max_features"), ({}, "graphs: none"),
    ({"features": (Place(1, "verb", 5),)}, "prompt .* has no role 'verb'; its roles: "),
    ({"features": (Place(1, 9, 5),)}, "position 9"), ({"features": (Place(3, 0, 5),)}, "layer: 3 is outside"),
    ({"features": (Place(1, 0, 99),)}, "feature: 99 is outside"), ({"operations": (("set", np.nan),)}, "finite"),
    ({"features": (Place(1, 0, 5, np.inf),)}, "finite"), ({"held_out": 1.0}, "held_out: got 1.0"),
])  # fmt: skip
def test_what_cannot_be_swept(sweep, refuses, settings, what):
    with refuses(what):
        sweep(**settings)
