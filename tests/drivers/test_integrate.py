"""`causeway integrate` over folders of stages: its files, its page, and its refusals."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from tests.engine.analyses.integrate.stage_tables import pathway
from tests.ports.results.test_integrated_files import write_stages
from tests.simulated_study import simulated_study

FLAGS = {"tokens": "associations"}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    folders = write_stages(tmp_path_factory.mktemp("stages"))
    return [f"--{FLAGS.get(stage, stage)}={folder}" for stage, folder in folders.items()]


def test_one_table_one_graph_and_one_story_a_feature_are_written(drive, stages, tmp_path):
    out = tmp_path / "out"
    found, refused, again = drive(
        "integrate", [*stages, f"--out={out}"], [*stages, f"--out={out}"],
        [*stages[:2], f"--out={out}", "--overwrite", "--alpha=0.002", "--keep=1"],
    )  # fmt: skip
    assert [found["status"], refused["status"], again["status"]] == [0, 2, 0], [found["err"], again["err"]]
    assert "integrated.json is there already; give another folder or --overwrite" in refused["err"]
    assert "not given: effects" in found["out"]
    assert "L0-1 -> L1-2 -> L2-3: mediated -0.35" in found["out"]
    assert "not given: effects, replay, tokens" in again["out"]
    stories = json.loads((out / "integrated.json").read_text())
    assert stories["summary"]["alpha"] == 0.002
    assert set(stories["summary"]["sources"]) == {"select", "pathways", "chains"}
    assert len(stories["features"]) == pq.read_table(out / "features.parquet").num_rows
    assert (out / "figures" / "integrated.png").is_file()


def test_what_cannot_be_brought_together_is_refused_and_nothing_is_written(drive, stages, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    cyclic = write_stages(tmp_path / "cyclic", pathways=[pathway((2, 3), (1, 2), 1.0, 0.01)])
    shutil.copytree(tmp_path / "cyclic", tmp_path / "torn")
    (tmp_path / "torn" / "tokens" / "outcomes.parquet").write_bytes(b"PAR1")
    found = drive(
        "integrate", [out], [stages[0], out], [*stages[:1], "--pathways=nowhere", out],
        [stages[0], f"--pathways={cyclic['pathways']}", out],
        [stages[0], f"--associations={tmp_path / 'torn' / 'tokens'}", out],
        [*stages, out, "--similarity=2"], [*stages, out, "--alpha=2"],
    )  # fmt: skip
    said = [
        "got nothing; needs two of them or more", "got --select; needs two of them or more",
        "--pathways: nowhere: no such folder", "L2-3 -> L1-2 does not rise", "outcomes.parquet", "--similarity",
        "alpha: got 2",
    ]  # fmt: skip
    for refused, text in zip(found, said, strict=True):
        assert refused["status"] == 2, refused
        assert text in refused["err"]
        assert refused["err"].count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_study_in_the_published_files_is_told_with_its_truth(drive, tmp_path):
    study = simulated_study(tmp_path / "study", features=24, wordy=0.2)
    select, tokens, out = (tmp_path / name for name in ("select", "tokens", "out"))
    results = f"--results={study.folder}"
    (selected,) = drive("select", [results, f"--out={select}", "--noonly_causal"])
    (counted,) = drive("tokens", [results, f"--out={tokens}"])
    (found,) = drive("integrate", [results, f"--select={select}", f"--associations={tokens}", f"--out={out}"])
    assert [run["status"] for run in (selected, counted, found)] == [0] * 3, [selected, counted, found]
    assert "q of effects: bh over the p of 24 features" in found["out"]
    stories = {one["feature"]: one for one in json.loads((out / "integrated.json").read_text())["features"]}
    assert len(stories) == len(study.pairs)
    assert study.words
    for name, own in study.words.items():
        assert own in [row["text"] for row in stories[name]["texts"]["words"]["adds"]]
    silent = [story for name, story in stories.items() if name not in study.words]
    assert sum(bool(story["texts"]["found"]) for story in silent) <= 1
