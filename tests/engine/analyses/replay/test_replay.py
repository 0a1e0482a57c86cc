"""What must hold of a replay whatever the model: what cannot change does not, given tokens are what they were."""

import dataclasses

import numpy as np
import pyarrow.compute as pc
import pytest

from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.columns import columns_of, read_values
from causeway.engine.analyses.replay.comparisons import comparisons
from causeway.engine.analyses.replay.divergence import first_difference
from causeway.engine.analyses.replay.pathways import PathwaySettings
from causeway.engine.analyses.replay.recorded import BASELINE, Recorded
from causeway.engine.analyses.replay.replay_summary import lines

BARE = ("baseline", "noop", "patch")


@pytest.fixture(scope="module")
def found(replayed):
    workdir, _, _ = replayed
    return run.read_stores(workdir, PathwaySettings())


def rows(table, **wanted):
    for name, value in wanted.items():
        table = table.filter(pc.equal(table[name].cast("string"), value))
    return table


def test_every_source_and_target_has_a_row_of_each_measure_and_step(found):
    for measure in ("free", "teacher_forced"):
        # Targets in the source's own layer are left out at the last prompt token, which is edited; else the source is.
        for step, targets in (("last_prompt", 3), ("generated", 5)):
            assert rows(found.pathways, measure=measure, step=step).num_rows == 6 * 2 * targets


def test_through_tokens_nothing_changes_while_the_tokens_are_the_same(found):
    through = rows(found.pathways, route="through_tokens")
    assert not np.any(rows(through, step="last_prompt")["delta"].to_numpy())
    assert not np.any(rows(through, measure="teacher_forced")["delta"].to_numpy())
    assert np.any(rows(through, measure="free", step="generated")["delta"].to_numpy())
    assert found.summary["largest_change_that_cannot_be"] == 0


def test_before_tokens_differ_an_earlier_layer_is_the_same_to_the_bit(replayed):
    _, free, _ = replayed
    edits, _ = comparisons(free)
    columns = columns_of(free, None, [])
    parted = 0
    for one in edits:
        earlier = columns.layer < one.layer
        for prompt in free.prompt_ids.tolist():
            edited, plain = (free.rows_of(*key, prompt) for key in (one.edited, one.plain))
            a, b = (read_values(free, which, columns).values[:, :, earlier] for which in (edited, plain))
            for trial, pair in enumerate(zip(edited.tolist(), plain.tolist(), strict=True)):
                place = first_difference(*map(free.tokens, pair))
                parted += place is not None
                same = slice(None) if place is None else slice(0, place + 1)
                assert a[trial, same].tobytes() == b[trial, same].tobytes()
    assert parted


def test_both_measures_are_one_at_the_last_prompt_token(found):
    deltas = [
        rows(found.pathways, measure=measure, step="last_prompt")["delta"].to_pylist()
        for measure in ("free", "teacher_forced")
    ]
    assert deltas[0] == deltas[1]


def test_given_tokens_are_the_clean_rollouts(replayed):
    _, free, forced = replayed
    for layer, feature, arm in forced.keys:
        for prompt in free.prompt_ids.tolist():
            clean = [free.tokens(row) for row in free.rows_of(*BASELINE, prompt).tolist()]
            assert [forced.tokens(row) for row in forced.rows_of(layer, feature, arm, prompt).tolist()] == clean


def test_along_its_own_tokens_the_clean_arm_is_what_it_was_to_the_bit(replayed, make_replay):
    """Why the clean arm is not run again."""
    _, free, _ = replayed
    from causeway.engine.analyses.patch_sweep.sampled_units import forced_unit
    from causeway.engine.analyses.replay.forced import continuations

    sweep, given = make_replay(("baseline", "patch")), continuations(free)
    for index in range(sweep.plan.units):
        prompt, _ = sweep.part(index)
        result = forced_unit(sweep, index, given[prompt.number])
        clean = np.flatnonzero(np.array(result.rows["arm"]) == "baseline")
        stored = free.rows_of(*BASELINE, prompt.number)[np.asarray(result.rows["trial"])[clean]]
        for name in ("values", "valid", "top_logits", "top_tokens"):
            assert result.arrays[name][clean].tobytes() == free.array(name, stored).tobytes()


def test_a_feature_set_to_its_own_value_changes_nothing(make_replay, tiny_sweep, tmp_path):
    features = tiny_sweep.make_features()
    own = dataclasses.replace(features, values={"own": np.ones(6)})
    sweep = make_replay(("baseline", "patch"), features=own, operation="scale", scope="last_prompt_and_decode")
    run.run(sweep, tmp_path)
    found = run.read_stores(tmp_path, PathwaySettings())
    assert not np.any(found.pathways["delta"].to_numpy())
    assert found.differences["first_difference"].null_count == found.differences.num_rows
    assert not np.any(found.sources["length_change"].to_numpy())


@pytest.mark.slow
def test_in_replace_form_edits_are_held_against_the_no_op_and_the_clean_arm(make_replay, tmp_path):
    run.run(make_replay(("baseline", "noop", "patch"), form="replace", trials=2), tmp_path)
    found = run.read_stores(tmp_path, PathwaySettings())
    assert found.pathways["reference"].unique().to_pylist() == ["noop", "baseline"]
    by_reference = [rows(found.pathways, reference=name)["delta"].to_numpy() for name in ("noop", "baseline")]
    assert not np.array_equal(*by_reference)
    assert found.summary["largest_change_that_cannot_be"] == 0


def test_targets_are_those_that_are_asked_for(replayed):
    workdir, _, _ = replayed
    found = run.read(Recorded.open(workdir / "free", "replay"), None, PathwaySettings(), targets=[(2, 7)])
    named = found.pathways.select(["target_layer", "target_feature"]).group_by(["target_layer", "target_feature"])
    assert named.aggregate([]).to_pylist() == [{"target_layer": 2, "target_feature": 7}]


@pytest.mark.slow
def test_the_strongest_features_give_what_chosen_ones_give(make_replay, tmp_path):
    """Recorded as the 24 strongest of 24, every feature is known."""
    for record in ("patched", "top:24", "all"):
        run.run(make_replay(record=record), tmp_path / record, teacher_forced=False)
    chosen, *others = (
        run.read_stores(tmp_path / r, PathwaySettings(), teacher_forced=False) for r in ("patched", "top:24", "all")
    )
    key = ["source_layer", "source_feature", "target_layer", "target_feature", "arm", "step"]

    def by_pair(table):
        names = zip(*(table[name].to_pylist() for name in key), strict=True)
        return dict(zip(names, table["delta"].to_pylist(), strict=True))

    for other in others:
        deltas = by_pair(other.pathways)
        shared = {pair: delta for pair, delta in by_pair(chosen.pathways).items() if pair in deltas}
        assert shared
        assert all(np.isclose(delta, deltas[pair], atol=1e-5) for pair, delta in shared.items())
        assert not np.any(other.pathways["unseen"].to_numpy())


@pytest.mark.slow
def test_readings_that_were_not_kept_are_counted(make_replay, tmp_path):
    run.run(make_replay(record="top:1"), tmp_path, teacher_forced=False)
    found = run.read_stores(tmp_path, PathwaySettings(), teacher_forced=False)
    assert np.any(found.pathways["unseen"].to_numpy() > 0)


def test_what_could_not_be_read_afterwards_is_refused_before(make_replay, refuses):
    for kinds, wrong in ((("baseline", "noop"), "which set no feature"), (("noop", "patch"), "needs baseline too")):
        with refuses(wrong):
            run.check(make_replay(kinds), PathwaySettings(), True)
    with refuses("random_draws: got 18; a band that 0.05 of random features leave takes 19"):
        run.check(make_replay(draws=18), PathwaySettings(), True)
    run.check(make_replay(draws=18), PathwaySettings(alpha=0.1), True)
    with refuses("record_features: got nothing"):
        run.check(make_replay(BARE, record=""), PathwaySettings(), True)
    with refuses("targets: layer 2 feature 3 is not recorded"):
        run.check(make_replay(BARE), PathwaySettings(), True, [(2, 3)])


def test_stores_that_cannot_be_read_are_refused(make_replay, tmp_path, refuses):
    from causeway.engine.analyses.patch_sweep import run as sweeps

    with pytest.raises(FileNotFoundError, match="needs the --workdir of a finished `patch_sweep` run"):
        Recorded.open(tmp_path / "none", "patch_sweep")
    sweeps.run(make_replay(("baseline", "patch"), record="", trials=1, segments=(1,)), tmp_path / "unrecorded")
    with refuses("no features were recorded there"):
        Recorded.open(tmp_path / "unrecorded", "patch_sweep")


def test_the_page_says_why_nothing_is_called_a_pathway(found):
    told = lines(found.summary)
    assert "random features: 1 for each source and value, where 19 are needed; no pathway is told" in told
    assert any(line.startswith("halves of prompts: not done") for line in told)
    assert not any(found.pathways["is_pathway"].to_pylist())
