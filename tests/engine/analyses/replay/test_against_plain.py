"""The tables against loops over rows, and given tokens against a plain pass with the same edits and taps."""

import itertools

import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.pathways import PathwaySettings
from causeway.engine.analyses.replay.recorded import BASELINE
from causeway.engine.calls.run import run as run_once
from causeway.engine.intervention.requests import FeatureEdit
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.stats.paired import paired_mean


@pytest.fixture(scope="module")
def found(replayed):
    workdir, _, _ = replayed
    return run.read_stores(workdir, PathwaySettings())


def plain_reading(recorded, row, layer, feature):
    """One row's steps, and a feature's value at each."""
    about = recorded.recording
    place = about["layers"].index(layer)
    slot = about["ids"][place].index(feature)
    one = np.array([row])
    return recorded.valid(one)[0], recorded.array("values", one)[0, :, place, slot].astype(np.float64)


def plain_values(edited, clean, key, pair):
    """{step: [prompts][trials] of (edited, plain)} of one source and target, row by row."""
    out = {"last_prompt": [], "generated": []}
    for prompt in clean.prompt_ids.tolist():
        trials = {"last_prompt": [], "generated": []}
        for a, b in zip(edited.rows_of(*key, prompt), clean.rows_of(*BASELINE, prompt), strict=True):
            (valid_a, value_a), (valid_b, value_b) = plain_reading(edited, a, *pair), plain_reading(clean, b, *pair)
            trials["last_prompt"].append((value_a[0], value_b[0]))
            both = [s for s in range(1, clean.steps) if valid_a[s] and valid_b[s]]
            if both:
                trials["generated"].append((np.mean([value_a[s] for s in both]), np.mean([value_b[s] for s in both])))
        for step in out:
            out[step].append(trials[step])
    return out


def plain_correlation(x, y):
    """Pearson over trials, centred in each prompt."""
    dx, dy = [], []
    for mine, theirs in zip(x, y, strict=True):
        for (a, b), (c, d) in zip(mine, theirs, strict=True):
            dx.append(a - b - np.mean([p - q for p, q in mine]))
            dy.append(c - d - np.mean([p - q for p, q in theirs]))
    return float(np.corrcoef(dx, dy)[0, 1]) if np.std(dx) > 1e-9 and np.std(dy) > 1e-9 else None


@pytest.mark.slow
def test_the_table_is_what_loops_over_rows_give(found, replayed):
    _, free, forced = replayed
    stores, seen = {"free": free, "teacher_forced": forced}, set()
    for row in found.pathways.to_pylist():
        key = (row["source_layer"], row["source_feature"], row["arm"])
        source, target = key[:2], (row["target_layer"], row["target_feature"])
        values = plain_values(stores[row["measure"]], free, key, target)[row["step"]]
        means = [np.mean([a - b for a, b in trials]) for trials in values if trials]
        assert row["delta"] == pytest.approx(np.mean(means), abs=1e-12)
        assert row["prompts"] == len(means)
        told = paired_mean(np.array([means]))
        assert (row["p"] is None) == bool(np.isnan(told.p[0]))
        moved = [a - b for a, b in itertools.chain(*values)]
        assert row["original_effect"] == pytest.approx(np.mean(moved), abs=1e-12)
        if row["step"] == "generated":
            own = plain_values(stores[row["measure"]], free, key, source)["generated"]
            expected = plain_correlation(own, values)
            assert (row["correlation"] is None) == (expected is None)
            assert expected is None or row["correlation"] == pytest.approx(expected, abs=1e-9)
            seen.add(expected is None)
        else:
            assert row["correlation"] is None
    assert seen == {True, False}


def test_sources_and_targets_of_the_redesign_are_named_the_other_way_round(found):
    for row in found.pathways.to_pylist():
        upstream = row["target_layer"] < row["source_layer"]
        assert (row["original_is_pathway"] is not None) == upstream
        named = (row["original_source_layer"], row["original_source_feature"])
        assert named == ((row["target_layer"], row["target_feature"]) if upstream else (None, None))


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["last_prompt", "last_prompt_and_decode"])
def test_given_tokens_give_what_a_plain_pass_with_the_same_edits_gives(make_replay, tmp_path, scope):
    sweep = make_replay(("baseline", "patch"), scope=scope, trials=2)
    run.run(sweep, tmp_path)
    forced = run.Recorded.open(tmp_path / "teacher_forced", "replay")
    about = forced.recording
    for prompt, which in itertools.product(sweep.prompts[:2], range(0, 6, 2)):
        layer, feature = int(sweep.features.layer[which]), int(sweep.features.feature[which])
        arm = Arm("patch", "risky")
        for row in forced.rows_of(layer, feature, str(arm), prompt.number).tolist():
            tokens = [*prompt.tokens, *forced.tokens(row)[:-1]]
            first, last = len(prompt.tokens) - 1, len(tokens)
            value = float(sweep.features.values["risky"][which])
            where = [first] if scope == "last_prompt" else list(range(first, last))
            out = run_once(
                sweep.model, [tokens], dictionary=sweep.dictionary,
                edits=[FeatureEdit(layer, feature, value, scope=where)],
                taps=[Tap("resid_post", layers=about["layers"], reader="all")],
            )  # fmt: skip
            values = np.asarray(out.records[0][0].values)
            valid = forced.valid(np.array([row]))[0]
            assert valid.sum() == last - first
            for place, ids in enumerate(about["ids"]):
                recorded = forced.array("values", np.array([row]))[0, : last - first, place]
                assert np.allclose(recorded, values[place, first:last][:, ids], atol=2e-4)
