"""`causeway contexts` on the bundled model: its files, that it goes on where it was stopped, and its refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.ports.results.context_files import CONTEXTS_FILE, read_table

# One reading for all of them.
slow = pytest.mark.slow(together="contexts")
SMALL = ["--data=tasks", "--num_texts=24", "--length=16", "--layers=1,3", "--keep=3", "--reach=4"]


@pytest.fixture(scope="module")
def runs(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("contexts")
    (folder / "labels.csv").write_text("layer,feature,label,source\n1,3,three,me\n")
    (folder / "chosen.jsonl").write_text('{"layer": 3, "feature": 7}\n{"layer": 1, "feature": 3}\n')
    (folder / "outside.jsonl").write_text('{"layer": 3, "feature": 9999}\n')
    (folder / "empty.txt").write_text("\n")
    chosen = [*SMALL, f"--features={folder / 'chosen.jsonl'}", "--unit_rows=8"]
    results = drive(
        "contexts",
        [*SMALL, f"--workdir={folder / 'all'}", f"--feature_labels={folder / 'labels.csv'}"],
        [*chosen, f"--workdir={folder / 'chosen'}", "--neuronpedia", "--scan=tiny"],
        [*chosen, f"--workdir={folder / 'chosen'}"],
        [*chosen, f"--workdir={folder / 'chosen'}", "--reach=5"],
        [*SMALL, f"--workdir={folder / 'no'}", f"--features={folder / 'outside.jsonl'}"],
        [f"--data={folder / 'empty.txt'}", f"--workdir={folder / 'no'}"],
        [*SMALL, f"--workdir={folder / 'no'}", "--scan=x"],
        [*SMALL, f"--workdir={folder / 'no'}", "--field=x"],
    )
    return folder, results


def test_a_feature_of_few_texts(drive, tmp_path):
    (tmp_path / "chosen.jsonl").write_text('{"layer": 3, "feature": 7}\n')
    few = ["--data=tasks", "--num_texts=10", "--length=8", "--layers=3", "--keep=2", "--reach=2"]
    few += [f"--features={tmp_path / 'chosen.jsonl'}", f"--workdir={tmp_path / 'run'}"]
    done, again, scan = drive("contexts", [*few, "--neuronpedia", "--scan=tiny"], few, [*few, "--scan=x"])
    assert done["status"] == again["status"] == 0, done["err"] + again["err"]
    (row,) = pq.read_table(tmp_path / "run" / "features.parquet").to_pylist()
    assert (row["layer"], row["feature"]) == (3, 7)
    contexts = read_table(tmp_path / "run", CONTEXTS_FILE, [(3, 7)]).to_pylist()
    assert max(one["value"] for one in contexts) == row["maximum"]
    batch = json.loads((tmp_path / "run" / "neuronpedia" / "3-resid_post" / "batch-0.json").read_text())
    assert [one["feature_index"] for one in batch["features"]] == [7]
    assert not [name for name in again["compiled"] if "reduced" in name]
    assert (scan["status"], scan["err"].count("\n")) == (2, 1)
    assert "--scan: without effect without --neuronpedia" in scan["err"]


@slow
def test_tables_of_all_features(runs):
    folder, (done, *_) = runs
    assert done["status"] == 0, done["err"]
    features = pq.read_table(folder / "all" / "features.parquet")
    about = json.loads((folder / "all" / "summary.json").read_text())
    assert features.num_rows == about["features"] == 2 * 1024
    assert features["active_tokens"].to_pylist().count(0) == about["dead"]
    assert [one["layer"] for one in about["layers"]] == [1, 3]
    assert f"{about['tokens']:,} tokens of 24 texts" in done["out"]
    labels = [(row["layer"], row["feature"], row["label"]) for row in features.to_pylist() if row["label"]]
    assert labels == [(1, 3, "three")]
    most = max(features.to_pylist(), key=lambda row: row["active_tokens"])
    key = most["layer"], most["feature"]
    contexts = read_table(folder / "all", CONTEXTS_FILE, [key]).to_pylist()
    assert {(row["layer"], row["feature"]) for row in contexts} == {key}
    assert contexts[0]["value"] == most["maximum"] == contexts[0]["activations"][contexts[0]["peak"]]


@slow
def test_chosen_features_are_the_same_and_a_second_run_computes_nothing(runs):
    folder, (_, done, again, other, *_) = runs
    assert done["status"] == again["status"] == 0, done["err"] + again["err"]
    assert other["status"] == 2
    assert "is of another plan" in other["err"]
    assert not [name for name in again["compiled"] if "reduced" in name]
    keys = [(1, 3), (3, 7)]
    chosen, whole = (read_table(folder / name, CONTEXTS_FILE, keys) for name in ("chosen", "all"))
    assert chosen.num_rows > 0
    numbers = ["value", "activations"]
    assert chosen.drop_columns(numbers).equals(whole.drop_columns(numbers))
    np.testing.assert_allclose(chosen["value"].to_numpy(), whole["value"].to_numpy(), rtol=1e-4)


@slow
def test_neuronpedia_has_what_is_known(runs):
    folder = runs[0] / "chosen"
    batch = json.loads((folder / "neuronpedia" / "3-resid_post" / "batch-0.json").read_text())
    assert (batch["model_id"], batch["layer"]) == ("tiny", 3)
    (feature,) = batch["features"]
    row = read_table(folder, "features.parquet", [(3, 7)]).to_pylist()[0]
    assert (feature["feature_index"], feature["frac_nonzero"]) == (7, row["firing_rate"])
    assert feature["pos_str"] == row["promoted"]
    assert sum(feature["freq_hist_data_bar_heights"]) == row["active_tokens"]
    bands = {(one["bin_min"], one["bin_max"], one["bin_contains"]) for one in feature["activations"]}
    assert sum(share for _, _, share in bands if share >= 0) <= 1
    for one in feature["activations"]:
        assert len(one["tokens"]) == len(one["values"])
        if one["bin_contains"] >= 0:
            assert one["bin_min"] <= max(one["values"]) <= one["bin_max"]


@slow
def test_bad_input_is_one_line(runs):
    *_, outside, empty, scan, field = runs[1]
    for run, told in (
        (outside, "--features: got 3:9999; the dictionary has features 0..1023 of layers [1, 3]"),
        (empty, "holds no text"),
        (scan, "--scan: without effect without --neuronpedia"),
        (field, "--field: without effect with --data=tasks"),
    ):
        assert run["status"] == 2
        assert told in run["err"]
        assert run["err"].count("\n") == 1
