"""`cw.select` on a simulated study: what is taken, what is left out, and where numbers come from."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from causeway.engine.analyses.select.request import select
from causeway.engine.earlier_results import RESPONSES, feature_names
from causeway.ports.results.study_files import read_earlier
from tests.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("select") / "study", features=80, causal=0.4, effect=0.5, length=2)


@pytest.fixture(scope="module")
def results(study):
    return read_earlier(study.folder)


def screen_of(results, **columns):
    return pa.table({name: results.features[name] for name in ("layer", "feature")} | columns)


def test_causal_features_alone_are_taken_by_cohens_d(results):
    found = select(results, per_layer=2)
    rows = [row for row in results.features.to_pylist() if row["is_causal"]]
    for layer in range(1, 5):
        mine = sorted((row for row in rows if row["layer"] == layer), key=lambda row: -abs(row["cohen_d"]))
        taken = [row["feature"] for row in found.features.to_pylist() if row["layer"] == layer]
        assert taken == [row["feature"] for row in mine[:2]]
    assert found.about["not_causal"] == 80 - len(rows)
    assert found.about["candidates"] == len(rows)


def test_others_are_taken_when_asked_for(results):
    assert select(results, only_causal=False, rank_by="all").features.num_rows == 80


def test_intervals_of_a_study_are_those_of_its_responses(results):
    found = select(results, rank_by="interval", only_causal=False, per_layer=99)
    assert found.about["estimated_by_rule"] == "v1"
    declared = dict(zip(feature_names(results.features), results.features.to_pylist(), strict=True))
    for name, row in zip(feature_names(found.features), found.features.to_pylist(), strict=True):
        assert row["low"] < row["effect"] < row["high"]
        context = row["contrast"].removeprefix("patch:").partition(" ")[0]
        # A test that the study's rule may not make, for want of counts, has effect 0 there.
        if declared[name][f"effect_{context}"]:
            np.testing.assert_allclose(row["effect"], declared[name][f"effect_{context}"], atol=1e-12)
    assert found.features["strength"][0].as_py() > 0


def test_true_effects_lead_when_ranked_by_interval(results, study):
    found = select(results, rank_by="interval", only_causal=False, top_total=20)
    assert len(set(feature_names(found.features)) & set(study.causal)) >= 18


def test_a_study_that_tells_no_effects_is_ranked_by_its_responses(tmp_path):
    flat = read_earlier(simulated_study(tmp_path / "flat", features=30, causal=0.4, length=1, layout="flat").folder)
    assert flat.features["effect"].null_count == 30
    assert select(flat, rank_by="effect").features["effect"].null_count == 0


def test_a_screen_gives_what_the_results_lack(results):
    rng = np.random.default_rng(0)
    named = screen_of(results, d=rng.normal(size=80), value_safe=rng.random(80), value_risky=rng.random(80))
    found = select(results, screen=named.slice(0, 79), only_causal=False, rank_by="all")
    assert found.features["cohen_d"].to_pylist() == results.features["cohen_d"].to_pylist()
    assert found.features["value_safe"].to_pylist()[:79] == named["value_safe"].to_pylist()[:79]
    assert found.about["without_values"] == [feature_names(results.features)[79]]
    at = results.features.column_names.index("cohen_d")
    bare = results.features.set_column(at, results.features.schema.field(at), pa.nulls(80, pa.float64()))
    other = select(dataclasses.replace(results, features=bare), screen=named, only_causal=False, rank_by="all")
    assert other.features["cohen_d"].to_pylist() == named["d"].to_pylist()


def test_values_of_a_screens_groups_follow_the_rule(results):
    columns = {f"{rule}_{group}": np.arange(80) + 0.5 * k for k, (rule, group) in enumerate(
        (r, g) for r in ("mean", "mean_active") for g in ("calm", "chasing"))}  # fmt: skip
    columns |= {"n_calm": [9] * 80, "n_chasing": [9] * 80, "d": np.linspace(-1, 1, 80)}
    for rule in ("mean", "mean_active"):
        found = select(screen=screen_of(results, **columns), value=rule, rank_by="all")
        for group in ("calm", "chasing"):
            assert found.features[f"value_{group}"].to_pylist() == columns[f"{rule}_{group}"].tolist()
    given = select(screen=screen_of(results, **columns), value={"calm": 0.0, "chasing": 2.0}, rank_by="all")
    assert set(given.features["value_chasing"].to_pylist()) == {2.0}


def test_a_screen_alone_is_ranked_without_verdicts(results):
    found = select(screen=screen_of(results, cohen_d=np.linspace(-2, 1, 80)), top_total=3)
    np.testing.assert_allclose(np.abs(found.features["cohen_d"].to_numpy()), found.features["strength"].to_numpy())
    assert found.features["is_causal"].null_count == 3
    assert found.about["not_causal"] == 0


def test_an_empty_selection_is_refused_and_says_what_to_do(results):
    at = results.features.column_names.index("is_causal")
    none = results.features.set_column(at, results.features.schema.field(at), pa.array([False] * 80))
    with pytest.raises(ValueError, match=r"results: none of 80 features is declared causal; .*--noonly_causal"):
        select(dataclasses.replace(results, features=none))
    with pytest.raises(ValueError, match="results: have no feature"):
        select(dataclasses.replace(results, features=results.features.slice(0, 0)))


def verdicts_of_both(results):
    """As of a sweep of two prompts: nothing can be told by our criteria; the study's rule declares a few."""
    features = results.features
    at = features.column_names.index("is_causal")
    untold = features.set_column(at, features.schema.field(at), pa.nulls(features.num_rows, pa.bool_()))
    return dataclasses.replace(results, features=untold, kind="patch_sweep")


def test_a_sweep_of_two_prompts_is_selected_by_the_studys_rule_where_that_is_asked(results):
    sweep = verdicts_of_both(results)
    with pytest.raises(ValueError, match=r"none of 80 .*of 80 it cannot be told.*--verdict=study"):
        select(sweep)
    found, published = select(sweep, verdict="study", per_layer=99), select(results, per_layer=99)
    assert feature_names(found.features) == feature_names(published.features)
    assert (found.about["verdict"], published.about["verdict"]) == ("study", "study")
    assert found.features["is_causal"].null_count == found.features.num_rows


def test_a_verdict_that_the_results_have_not_is_refused(results):
    sweep = verdicts_of_both(results)
    features = sweep.features
    for name in ("is_causal_safe", "is_causal_risky"):
        at = features.column_names.index(name)
        features = features.set_column(at, features.schema.field(at), pa.nulls(80, pa.bool_()))
    with pytest.raises(ValueError, match="verdict: got study, but its rule decided nothing here"):
        select(dataclasses.replace(sweep, features=features), verdict="study")
    with pytest.raises(ValueError, match="verdict: got ours, but a published study's files hold its own alone"):
        select(results, verdict="ours")
    with pytest.raises(ValueError, match="verdict: got 'mine'; needs one of ours, study"):
        select(results, verdict="mine")


REFUSED = {
    "nothing": ({}, "results: got None, and no screen"),
    "a rank": ({"rank_by": "size", "screen": pa.table({"layer": [0], "feature": [1]})}, "rank_by: got 'size'; needs"),
    "no layer": ({"screen": pa.table({"feature": [1]})}, "screen: got feature; needs a table with layer and feature"),
    "twice": ({"screen": pa.table({"layer": [0, 0], "feature": [1, 1]}), "rank_by": "all"}, "names a feature twice"),
    "no d": ({"screen": pa.table({"layer": [0], "feature": [1]})}, "rank_by: got cohen_d, which none of 1"),
    "none": ({"screen": pa.table({"layer": [0], "feature": [1]}), "per_layer": 0}, "per_layer: got 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_selected_from_is_refused(case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        select(**arguments)


def test_without_responses_an_interval_is_not_known(results):
    empty = dataclasses.replace(results, responses=RESPONSES.empty_table())
    with pytest.raises(ValueError, match="rank_by: got interval, which none of"):
        select(empty, rank_by="interval")
    assert pc.min(select(empty, rank_by="effect").features["strength"]).as_py() > 0
