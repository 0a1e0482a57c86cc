"""From targets to chains: what was built is found, what does nothing is not, and order decides nothing."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import causeway as cw
from causeway.engine.analyses.pathways.passes import Nodes
from causeway.engine.analyses.pathways.pathways import Asked, Settings, find_pathways, halves
from causeway.engine.analyses.pathways.prototype import prototype
from causeway.engine.analyses.pathways.selection import Choice
from causeway.engine.analyses.pathways.summary import lines, summarise, validated
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep.interrupt import Stopped

SETTINGS = Settings(scope="all", choice=Choice(random_pairs=2))


def _records(built, count=40):
    return [PromptRecord("", tokens=prompt.tokens, id=prompt.id) for prompt in built.prompts(count)]


def _asked(built, records=None, settings=SETTINGS, values=None, targets=None, **network):
    both = halves(_records(built) if records is None else records, settings.seed)
    nodes = Nodes.of(targets or [built.B, built.C, built.G])
    return Asked(built.model(**network), built.dictionary(), *both, nodes, values, settings)


@pytest.fixture(scope="module")
def found(built):
    return find_pathways(_asked(built))


def _edges(table):
    return {
        ((row["source_layer"], row["source_feature"]), (row["target_layer"], row["target_feature"])): row
        for row in table.to_pylist()
    }


def test_what_was_built_comes_first_and_is_validated_and_nothing_else(built, found):
    edges = _edges(found.pathways)
    true = {(built.A, built.B), (built.A, built.C), (built.B, built.C)}
    true |= {(node, built.G) for node in (built.A, built.B, built.C)}
    assert {pair for pair, row in edges.items() if row["validated"]} == true
    for target in (built.B, built.C, built.G):
        own = [row for (_, end), row in edges.items() if end == target]
        ranked = sorted(own, key=lambda row: -abs(row["discovered"]))
        drivers = {start for start, end in true if end == target}
        assert {(row["source_layer"], row["source_feature"]) for row in ranked[: len(drivers)]} == drivers
    np.testing.assert_allclose(
        *([row[name] for row in edges.values()] for name in ("predicted", "effect")), rtol=1e-4, atol=1e-5
    )


def test_chains_that_were_built_are_confirmed_with_their_shares(built, found):
    rows = {row["path"]: row for row in found.chains.to_pylist()}
    assert all(row["confirmed"] for row in rows.values())
    assert {row["length"] for row in rows.values()} == {2, 3}
    assert rows["L0-0 -> L2-0 -> L3-0"]["share"] == pytest.approx(1, abs=1e-4)
    through = rows["L0-0 -> L1-0 -> L2-0"]["share"]
    assert 0.5 < through < 0.95
    assert rows["L0-0 -> L1-0 -> L2-0 -> L3-0"]["share"] == pytest.approx(through, abs=1e-4)


def test_prediction_and_measurement_are_calibrated(found):
    about = summarise(found)
    assert about["calibration"]["all"]["slope"] == pytest.approx(1, abs=1e-3)
    assert about["counts"]["validated"] == 6
    assert [entry["target"] for entry in about["per_target"]] == ["L1-0", "L2-0", "L3-0"]
    assert next(row["source"] for row in validated(found)) == "L0-0"
    text = "\n".join(lines(found))
    assert "validated: 6 of 6 tested" in text
    assert "L0-0 -> L1-0 -> L2-0" in text
    assert {"prompt", "source_position", "stratum"} <= set(found.candidates.column_names)


def test_where_sources_do_not_reach_the_targets_nothing_is_found(built):
    found = find_pathways(_asked(built, targets=[built.B, built.C, built.G], cut=True))
    edges = _edges(found.pathways)
    false = [pair for pair, row in edges.items() if row["validated"] and pair[0][0] == 0]
    assert not false
    assert all(row["effect"] == 0 for (start, _), row in edges.items() if start[0] == 0)


@pytest.mark.slow
def test_a_direct_effect_is_measured_with_what_it_keeps_kept(bundled):
    model, saes = bundled
    texts = [f"{a}+{b}=" for a in (14, 27, 36, 44, 58) for b in (9, 15, 31, 95)]
    records = [PromptRecord(text, id=text) for text in texts]
    for derivative in ("direct", "total"):
        settings = Settings(derivative, draws=0, chains=0, choice=Choice(top=6, random_pairs=3))
        asked = Asked(model, saes, *halves(records, 0), Nodes.of([(3, 81), (2, 121)]), None, settings)
        table = find_pathways(asked).pathways
        predicted, effect = (table[name].to_numpy() for name in ("predicted", "effect"))
        off = np.abs(predicted - effect).max() / np.abs(effect).max()
        if derivative == "direct":
            assert off < 1e-4
        else:
            assert off > 1e-3
            assert stats.spearmanr(predicted, effect).statistic > 0.9


@pytest.mark.slow
def test_sources_with_planned_values_are_set_to_them(built):
    values = pa.table({"layer": [0, 0, 1], "feature": [0, 1, 0], "value": [2.0, 1.0, 5.0]})
    settings = dataclasses.replace(SETTINGS, draws=0, chains=0)
    asked = _asked(built, values=values, settings=settings)
    found = find_pathways(asked)
    edges = _edges(found.pathways)
    assert set(edges) <= {((0, 0), t) for t in (built.B, built.C, built.G)} | {
        ((0, 1), t) for t in (built.B, built.C, built.G)
    } | {((1, 0), t) for t in (built.C, built.G)}
    embedding = np.asarray(asked.model.transformer.embedding[...])
    a = [embedding[list(record.tokens), 0] for record in asked.estimating]
    expected = np.mean([1.5 * (2.0 - own).mean() for own in a])
    assert edges[built.A, built.B]["effect"] == pytest.approx(expected, rel=1e-4)
    assert edges[built.A, built.B]["predicted"] == pytest.approx(expected, rel=1e-4)
    b = np.mean([2 * (5.0 - 1.5 * own.mean()) for own in a])
    last = edges[built.B, built.C]
    assert last["moving_prompts"] == 20
    # B is set at every token, but C reads the last one alone.
    assert last["effect"] == pytest.approx(b, rel=1e-4)


def test_neither_the_order_of_prompts_nor_of_targets_decides_anything(built, found):
    records = list(reversed(_records(built)))
    other = find_pathways(_asked(built, records, targets=[built.G, built.B, built.C]))
    for name in ("pathways", "chains"):
        one, two = getattr(found, name).to_pylist(), getattr(other, name).to_pylist()
        assert len(one) == len(two)
        for row, same in zip(one, two, strict=True):
            assert row == same


@pytest.mark.slow
def test_a_run_that_was_killed_in_any_phase_goes_on_to_the_same_tables(built, found, tmp_path, monkeypatch):
    from causeway.engine.analyses.pathways import pathways as module

    whole, phases = module.all_tables, []

    def dies(job, workdir):
        phases.append(workdir.name)
        if len(phases) in (2, 4, 6):
            raise Stopped("killed")
        return whole(job, workdir)

    monkeypatch.setattr(module, "all_tables", dies)
    results = []
    for _ in range(8):
        try:
            results.append(find_pathways(_asked(built), tmp_path))
            break
        except Stopped:
            continue
    assert phases[-4:] == ["discovery", "predictions", "replay", "mediation"]
    assert results[0].pathways.equals(found.pathways)
    assert results[0].chains.equals(found.chains)


def test_under_the_documents_rule_discovery_lists_the_largest_gradients(built):
    settings = dataclasses.replace(SETTINGS, per_layer=1, stratum=0, draws=0, chains=0, choice=Choice("original"))
    own = _asked(built, targets=[built.C], settings=settings)
    names = find_pathways(own).candidates.to_pylist()
    # What C hears of B is twice B, and of A, at the token itself, a half; through B it is three parts in T.
    assert {(row["source_layer"], row["source_feature"]) for row in names} == {built.A, built.B}
    assert all(abs(row["gradient"]) > 0.1 for row in names)


def test_settings_that_cannot_be_are_refused(built, refuses):
    with refuses("random_draws: got 5; a band that .* takes 19"):
        Settings(draws=5)
    for longest in (1, 5):
        with refuses(f"longest_chain: got {longest}; needs a number of pairs from 2 to 4"):
            Settings(longest=longest)
    with refuses("prompts: got 1; needs two or more"):
        halves(_records(built)[:1], 0)
    with refuses("'prompt 0' comes twice"):
        halves([_records(built)[0]] * 2, 0)


@pytest.mark.slow
def test_the_prototype_tells_the_strongest_of_each_layer_and_what_it_took(built):
    asked = _asked(built, targets=[built.G])
    told = prototype(asked)
    assert told["passed"]
    assert told["feature"] == "L3-0"
    assert {row["source_layer"] for row in told["upstream_candidates"]} == {0, 1, 2}
    assert next(row["source"] for row in told["upstream_candidates"] if row["source_layer"] == 1) == "L1-0"
    assert told["criteria"]["memory"]
    assert 0 < told["peak_memory_gb"] < 20
    assert told["activation"]["active_prompts"] == 40
    assert told["criteria"]["target_active"]
    silent = prototype(_asked(built, targets=[(3, 7)]))
    assert silent["activation"]["active_prompts"] == 0
    assert not silent["criteria"]["target_active"]
    assert not silent["passed"]
    starved = prototype(asked, memory_limit=0.001)
    assert not starved["passed"]
    assert not starved["criteria"]["memory"]


def test_the_call_gives_the_same_tables(built, found):
    prompts = _records(built)
    made = cw.pathways(
        built.model(), prompts, built.dictionary(), targets=["L1-0", (2, 0), (3, 0)], scope="all",
    )  # fmt: skip
    mine = [row for row in made.pathways.to_pylist() if row["validated"]]
    theirs = [row for row in found.pathways.to_pylist() if row["validated"]]
    assert [(row["source_layer"], row["effect"]) for row in mine] == [
        (row["source_layer"], row["effect"]) for row in theirs
    ]
