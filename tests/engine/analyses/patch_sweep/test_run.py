"""A sweep from end to end in a workdir: what is written, that it resumes, and that a planted effect is found."""

import hashlib
import json
import math
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.engine.analyses.patch_sweep import run, sweep_summary
from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.patch_sweep.effects import EffectSettings
from causeway.engine.analyses.patch_sweep.exact_units import exact_unit
from causeway.engine.analyses.patch_sweep.sampled_units import sampled_unit
from causeway.engine.sweep import checksums
from causeway.engine.sweep.store import Store

PLANTED = (2, 5)
GROUPS = ("safe", "risky")


@pytest.fixture(scope="module")
def planted(tiny, tiny_sweep, transformer):
    """A sweep where one feature of five writes the direction of a bet; the others write next to nothing."""
    dictionary = tiny.make_dictionary("relu")
    writes = 0.02 * np.array(dictionary.W_dec[...])
    unembedding = np.asarray(transformer.embedding[...])
    writes[1, PLANTED[1]] = 4 * (unembedding[24] + unembedding[11])
    dictionary.W_dec[...] = writes
    values = {"safe": np.zeros(5), "risky": np.full(5, 3.0)}
    features = FeatureSet(np.array([0, 0, 2, 2, 2]), np.array([1, 4, 5, 9, 14]), values)
    return tiny_sweep.make_sweep(
        transformer, dictionary, features=features, prompts=tiny_sweep.make_prompts(24), rows=64, draws=4,
        doses=(0.25, 0.5, 0.75),
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(planted, tmp_path_factory):
    """Workdir, report and summary of the planted sweep."""
    workdir = tmp_path_factory.mktemp("sweep") / "run"
    report = run.run(planted, workdir)
    return workdir, report, run.finish(workdir, EffectSettings(values=GROUPS, split=True))


def strict(path):
    """JSON as the standard has it: no NaN and no infinity."""

    def refuse(text):
        raise AssertionError(f"{path} holds {text}")

    return json.loads(path.read_text(), parse_constant=refuse)


def hashes(workdir):
    """sha256 of every data file."""
    found = [p for p in workdir.rglob("*") if p.is_file() and (p.suffix == ".parquet" or ".zarr" in str(p))]
    return {str(p.relative_to(workdir)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def test_the_files_of_a_finished_sweep_are_there(finished, planted):
    workdir, report, got = finished
    names = {p.name for p in workdir.iterdir()}
    assert {"plan.json", "units", "trials.parquet", "effects.parquet", "summary.json", "events.jsonl"} <= names
    assert not [name for name in names if name.endswith(".tmp")]
    trials = pq.read_table(workdir / "trials.parquet")
    assert trials.num_rows == len(planted.rows) * len(planted.prompts)
    assert (report.stopped, report.computed) == ("", planted.plan.units)
    assert strict(workdir / "summary.json") == got
    assert got["prompts"] == {"risky": 12, "safe": 12}
    assert got["features"] == 5


def test_a_planted_feature_is_found_and_no_other(finished):
    workdir, _, got = finished
    bet = got["outcomes"]["p_bet"]
    assert (bet["strongest"][0]["layer"], bet["strongest"][0]["feature"]) == PLANTED
    assert bet["strongest"][0]["effect"] > 0.2
    table = pq.read_table(workdir / "effects.parquet").to_pylist()
    causal = {(r["layer"], r["feature"]) for r in table if r["is_causal"] and r["outcome"] == "p_bet"}
    assert causal == {PLANTED}
    assert bet["causal_by_layer"] == {"2": 1}
    assert any("layer  2 feature      5" in line and "causal" in line for line in sweep_summary.lines(got))


def test_the_effect_is_the_mean_paired_difference_of_the_trials(finished):
    workdir, _, _ = finished
    trials = pq.read_table(workdir / "trials.parquet").to_pylist()
    mine = [r for r in trials if (r["layer"], r["feature"]) == PLANTED]
    risky, safe = (
        {r["prompt_id"]: r["p_bet"] for r in mine if r["arm"] == arm} for arm in ("patch:risky", "patch:safe")
    )
    run.finish(workdir, EffectSettings(values=GROUPS, split=False))
    where = {"outcome": "p_bet", "group": "all", "contrast": "patch:risky - patch:safe", "feature": PLANTED[1]}
    table = pq.read_table(workdir / "effects.parquet").to_pylist()
    (row,) = [r for r in table if all(r[k] == v for k, v in where.items())]
    np.testing.assert_allclose(row["effect"], np.mean([risky[i] - safe[i] for i in safe]), rtol=1e-6)


def test_the_same_call_resumes_and_changes_nothing(finished, planted):
    workdir, _, _ = finished
    before = hashes(workdir)
    again = run.run(planted, workdir)
    run.finish(workdir, EffectSettings(values=GROUPS, split=False))
    assert again.computed == 0
    assert {k: v for k, v in hashes(workdir).items() if k != "effects.parquet"} == {
        k: v for k, v in before.items() if k != "effects.parquet"
    }


@pytest.mark.parametrize("outcome", ["exact", "sampled"])
def test_an_interrupted_sweep_ends_with_the_bytes_of_an_uninterrupted_one(tiny_sweep, make_sweep, tmp_path, outcome):
    record = {"record": "top:2", "segments": (2,)} if outcome == "sampled" else {}
    sweep = make_sweep(outcome, ("baseline", "patch"), prompts=tiny_sweep.make_prompts(2), unit_buckets=1, **record)
    run.run(sweep, tmp_path / "whole")
    store = Store(tmp_path / "parts", sweep.plan)
    unit = exact_unit if outcome == "exact" else sampled_unit
    for index in (2, 0):
        with store.writing():
            store.commit(index, unit(sweep, index), {})
    report = run.run(sweep, tmp_path / "parts")
    assert report.computed == sweep.plan.units - 2
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")


def test_a_workdir_of_another_plan_is_refused_with_the_field(finished, planted, make_sweep, refuses):
    workdir, _, _ = finished
    with refuses(r'another plan: .*scope: "last_prompt_and_decode" in the workdir, "last_prompt" now.*use another'):
        run.run(make_sweep(scope="last_prompt"), workdir)


def test_a_changed_file_is_named_and_repaired_to_the_same_bytes(tiny_sweep, make_sweep, tmp_path, refuses):
    sweep = make_sweep("exact", ("baseline", "patch"), prompts=tiny_sweep.make_prompts(2))
    run.run(sweep, tmp_path)
    before, shard = hashes(tmp_path), tmp_path / "units" / "00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-10])
    with refuses(r"units/00001.parquet.*--repair"):
        run.run(sweep, tmp_path)
    assert run.run(sweep, tmp_path, repair=True).computed == 1
    assert hashes(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trials.parquet", "trials.json", "plan.json"])
def test_effects_are_estimated_of_the_trials_that_were_written(finished, tmp_path, refuses, name):
    """Any changed byte of what they are read from stops them."""
    workdir, settings = tmp_path / "run", EffectSettings(values=GROUPS, split=True)
    shutil.copytree(finished[0], workdir)
    run.finish(workdir, settings)
    before, data = hashes(workdir), (workdir / name).read_bytes()
    for at in np.linspace(1, len(data) - 4, 12).astype(int):
        place = data.find(b'"', at) + 1 if name.endswith("json") else at
        (workdir / name).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with refuses(rf"{name}: (corrupted|damaged).*--repair"):
            run.finish(workdir, settings)
    (workdir / name).write_bytes(data)
    assert hashes(workdir) == before


def test_results_have_their_checksums_beside_them(finished, planted, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    for name in ("effects.parquet", "summary.json", "prompts.jsonl"):
        checksums.check(workdir / name)
        (workdir / name).write_bytes((workdir / name).read_bytes() + b" ")
        with pytest.raises(ValueError, match=f"{name}: not the file that was written here"):
            checksums.check(workdir / name)
    assert run.run(planted, workdir).computed == 0
    run.finish(workdir, EffectSettings(values=GROUPS, split=True))
    for name in ("effects.parquet", "summary.json", "prompts.jsonl"):
        checksums.check(workdir / name)


@pytest.mark.parametrize("outcome", ["exact", "sampled"])
@pytest.mark.parametrize("kinds", [("noop", "patch"), ("baseline", "patch"), ("baseline", "ablate")], ids=",".join)
def test_few_prompts_and_few_arms_still_give_a_summary(tiny_sweep, make_sweep, tmp_path, outcome, kinds):
    segments = {"segments": (2,)} if outcome == "sampled" else {}
    sweep = make_sweep(outcome, kinds, prompts=tiny_sweep.make_prompts(1), **segments)
    settings = EffectSettings(values=GROUPS, split=True)
    run.check_effects(sweep, settings)
    run.run(sweep, tmp_path)
    got = run.finish(tmp_path, settings)
    assert strict(tmp_path / "summary.json") == got
    assert all(not math.isnan(r["effect"] or 0) for o in got["outcomes"].values() for r in o["strongest"])
    assert "not_evaluated" in got["original_rule"]
    assert sweep_summary.lines(got)


def test_arms_without_an_effect_are_refused_before_the_sweep(make_sweep, refuses):
    settings = EffectSettings(values=GROUPS, noop_is_baseline=False)
    for kinds in (("baseline",), ("baseline", "noop")):
        with refuses("arms: got .* patch no feature"):
            run.check_effects(make_sweep("exact", kinds), settings)
    with refuses("hold no reference; needs noop"):
        run.check_effects(make_sweep("exact", ("patch",)), settings)
    with refuses("hold no reference; needs noop"):
        run.check_effects(make_sweep("exact", ("baseline", "patch", "ablate"), form="replace"), settings)
    # The published study's arms, which had no no-op, are let through; their contrasts are marked.
    run.check_effects(make_sweep("exact", ("baseline", "patch"), form="replace"), settings)
