"""An audit finds what was put into a study, and nothing in a study that is whole."""

import dataclasses
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from causeway.engine.analyses.audit.audit import audit
from causeway.engine.analyses.audit.summary import lines
from causeway.engine.earlier_results import RESPONSES, feature_names
from causeway.ports.results.study_files import read_earlier
from tests.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("audit") / "study", features=60, causal=0.4, effect=0.5, parts=3)


@pytest.fixture(scope="module")
def whole(study):
    return read_earlier(study.folder)


def without(results, **columns):
    """The results, rows of responses taken out where all columns have these values."""
    table = results.responses
    hit = np.ones(table.num_rows, bool)
    for name, value in columns.items():
        hit &= pc.equal(table[name].cast(pa.string()), str(value)).to_numpy()
    return dataclasses.replace(results, responses=table.filter(pa.array(~hit)))


def test_a_whole_study_is_validated(whole, study):
    found = audit(whole)
    assert found.validated
    assert found.report["validated"] is True
    told = zip(feature_names(whole.features), whole.features["is_causal"].to_pylist(), strict=True)
    declared = [name for name, causal in told if causal]
    assert found.report["joinable_features"] == declared
    assert sum(found.report["causal_by_layer"].values()) == len(declared) == found.report["causal"]
    assert set(found.report["trials"].values()) == {30}
    assert found.warnings == tuple(note for note in found.warnings if "one prompt in" in note or "chance alone" in note)
    json.dumps(found.report)


def test_a_missing_condition_fails_and_is_listed(whole):
    name = feature_names(whole.features)[4]
    layer, feature = name[1:].split("-")
    found = audit(without(whole, layer=layer, feature=feature, condition="risky_with_safe_patch"))
    assert not found.validated
    assert found.report["missing"] == [{"feature": name, "missing": ["risky_with_safe_patch"]}]
    assert any("1 features (L" in note and "risky_with_safe_patch (1)" in note for note in found.failures)


def test_features_in_one_source_only_are_counted_and_listed(whole):
    names = feature_names(whole.features)
    layer, feature = names[3][1:].split("-")
    found = audit(without(whole, layer=layer, feature=feature))
    assert found.validated
    assert found.report["only_decided"] == [names[3]]
    assert any(f"1 features ({names[3]}) decided and without a response" in note for note in found.warnings)
    other = audit(dataclasses.replace(whole, features=whole.features.slice(2)))
    assert other.report["only_in_responses"] == names[:2]
    assert any("2 features" in note and "with responses and not decided" in note for note in other.warnings)


def test_nothing_to_join_fails(whole):
    layers = pa.array(whole.features["layer"].to_numpy() + 40, pa.int32())
    moved = whole.features.set_column(0, "layer", layers)
    found = audit(dataclasses.replace(whole, features=moved))
    assert any("features and responses are of two studies" in note for note in found.failures)


def test_no_log_fails_unless_the_sweep_was_exact(whole):
    empty = dataclasses.replace(whole, responses=RESPONSES.empty_table())
    assert any("no responses" in note for note in audit(empty).failures)
    exact = audit(dataclasses.replace(empty, about={"outcome": "exact"}))
    assert exact.validated
    assert exact.report["calibration"] == {"not_evaluated": "there are no responses"}


def test_conflicting_features_fail_and_repeated_trials_warn(study, tmp_path):
    folder = shutil.copytree(study.folder, tmp_path / "copy")
    log = sorted((folder / "response_logs").iterdir())[0]
    log.with_name(log.name.replace("_2025", "_2026")).write_text(json.dumps(json.loads(log.read_text())[:8]))
    checkpoint = sorted(folder.glob("checkpoint_*"))[0]
    content = json.loads(checkpoint.read_text())
    content["results"][1]["cohen_d"] += 1
    checkpoint.with_name(checkpoint.name.replace("_2025", "_2026")).write_text(json.dumps(content))
    found = audit(read_earlier(folder))
    name = content["results"][1]["feature"]
    assert found.report["conflicting"] == [name]
    assert any(name in note and "decided twice and differently" in note for note in found.failures)
    assert found.report["repeated"] | {"features": []} == {"trials": 8, "same": 8, "features": []}
    (row,) = found.report["repeated"]["features"]
    assert row["trials"] == 8
    assert any("8 trials of 1 features come twice" in note for note in found.warnings)


def test_arms_without_variance_are_counted_and_equal_responses_are_no_observations(whole):
    table = whole.responses
    at = table.column_names.index("action")
    constant = table.set_column(at, table.schema.field(at), pa.array(["bet"] * table.num_rows).dictionary_encode())
    found = audit(dataclasses.replace(whole, responses=constant))
    assert len(found.report["one_action"]) == 6 * 60
    assert any("360 arms of a feature have one action in all trials" in note for note in found.warnings)
    at = table.column_names.index("response")
    greedy = table.set_column(at, table.schema.field(at), pa.array(["1) Bet $10"] * table.num_rows))
    found = audit(dataclasses.replace(whole, responses=greedy))
    assert any("360 arms of a feature have one response" in note for note in found.warnings)


def test_an_arm_that_is_read_less_often_is_told(whole):
    table, rng = whole.responses, np.random.default_rng(0)
    garbled = pc.equal(table["arm"].cast(pa.string()), "patch:risky").to_numpy() & (rng.random(table.num_rows) < 0.2)
    valid = pa.array(np.where(garbled, False, table["valid"].to_numpy()))
    at = table.column_names.index("valid")
    found = audit(dataclasses.replace(whole, responses=table.set_column(at, table.schema.field(at), valid)))
    told = [note for note in found.warnings if "readable answers of" in note]
    assert len(told) == 2
    assert all("under patch:risky" in note for note in told)
    rows = {(row["context"], row["arm"]): row for row in found.report["readability"]}
    assert rows["safe", "patch:risky"]["difference"] == pytest.approx(-0.18, abs=0.03)
    assert rows["safe", "patch:risky"]["unit"] == "feature"
    assert rows["safe", "baseline"]["difference"] is None


def test_as_many_causal_features_as_chance_gives_and_a_common_shift_are_warned_of(tmp_path):
    null = simulated_study(tmp_path / "null", features=150, causal=0.0, wordy=0.0, length=1)
    found = audit(read_earlier(null.folder))
    assert any("chance alone declares about" in note and "no more than that" in note for note in found.warnings)
    shifted = simulated_study(tmp_path / "shifted", features=150, causal=0.0, wordy=0.0, length=1, shift=0.2)
    found = audit(read_earlier(shifted.folder))
    told = [note for note in found.warnings if note.startswith("patching any feature moves")]
    assert len(told) == 2
    assert "a no-op arm tells" in told[0]


def test_a_study_that_declares_nothing_is_told(study, tmp_path):
    folder = shutil.copytree(study.folder, tmp_path / "copy")
    for path in folder.glob("checkpoint_*"):
        path.unlink()
    found = audit(read_earlier(folder))
    assert found.validated
    assert any("nothing is declared" in note for note in found.warnings)
    assert any("no feature has a cohen_d" in note for note in found.warnings)


def test_the_summary_fits_a_screen(whole):
    shown = lines(audit(whole))
    assert len(shown) < 20
    assert any("30 in each of 6 conditions" in line for line in shown)


def test_what_is_no_study_is_refused():
    with pytest.raises(ValueError, match="results: got 'runs'; needs what read_earlier gives"):
        audit("runs")
