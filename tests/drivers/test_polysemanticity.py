"""`causeway polysemanticity` on what `components` and `decompose` wrote: its files, and its refusals."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.ports.results.neuron_files import read_neurons


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("polysemanticity")
    kinds = "--behaviours=bundled_addition,bundled_agreement"
    (made,) = drive("prompts", [f"--out={folder / 'prompts'}", kinds, "--train=16", "--test=12"])
    assert made["status"] == 0, made["err"]
    chosen = [f"--prompts={folder / 'prompts'}", "--neurons=1:3,1:40,2:7"]
    runs = drive(
        "components", [*chosen, "--largest=4", f"--workdir={folder / 'components'}"],
        [*chosen, "--largest=4", "--splits=train", "--held_out=0.5", "--position=-2", f"--workdir={folder / 'other'}"],
    )  # fmt: skip
    assert [run["status"] for run in runs] == [0, 0], [run["err"] for run in runs]
    runs = drive(
        "decompose", [f"--components={folder / 'components'}", "--atoms=3", f"--out={folder / 'words'}"],
        [f"--components={folder / 'other'}", "--atoms=3", f"--out={folder / 'other_words'}"],
    )  # fmt: skip
    assert [run["status"] for run in runs] == [0, 0], [run["err"] for run in runs]
    shutil.copytree(folder / "words", folder / "foreign")
    about = json.loads((folder / "foreign" / "decompose.json").read_text()) | {"model_fingerprint": "123"}
    (folder / "foreign" / "decompose.json").write_text(json.dumps(about))
    (folder / "foreign" / "causeway.sha256").unlink(missing_ok=True)
    return folder


def test_scores_are_written_and_told(drive, place):
    out = place / "out"
    given = [f"--prompts={place / 'prompts'}", f"--components={place / 'components'}", f"--out={out}"]
    found, refused, again = drive(
        "polysemanticity", [*given, f"--decompositions={place / 'words'}"], given, [*given, "--overwrite"]
    )
    assert [found["status"], refused["status"], again["status"]] == [0, 2, 0], [found["err"], again["err"]]
    assert "polysemanticity.json is there already; give another folder or --overwrite" in refused["err"]
    assert "3 of 3 neurons vary over 56 prompts; medians (by chance):" in found["out"]
    assert "  words: " in found["out"]
    assert "  words: " not in again["out"]
    table = pq.read_table(out / "polysemanticity.parquet")
    assert table.num_rows == 3
    assert np.isfinite(table["information"].to_numpy()).all()
    assert len(read_neurons(out / "polysemanticity.parquet").layer) == 3
    about = json.loads((out / "polysemanticity.json").read_text())
    assert (about["neurons"], about["labels"]) == (3, ["bundled_addition", "bundled_agreement"])


def test_artefacts_that_do_not_belong_together_are_refused_in_a_line(drive, place):
    out, prompts = f"--out={place / 'refused'}", f"--prompts={place / 'prompts'}"
    base = [out, prompts, f"--components={place / 'components'}"]
    cases = {
        "--components: got nothing": [out, prompts],
        "--prompts: got nothing": [out, base[2]],
        "is of another run: ": [*base, "--splits=train"],
        "give the folder that `components` wrote": [out, prompts, f"--components={place / 'words'}"],
        "--label_field: prompt": [*base, "--label_field=colour"],
        "--decompositions: made on weights 123": [*base, f"--decompositions={place / 'foreign'}"],
        "--decompositions: the words of 1:3 are of another component": [
            *base,
            f"--decompositions={place / 'other_words'}",
        ],
        "give the folder that `decompose` wrote": [*base, f"--decompositions={place / 'prompts'}"],
        "--layers: without effect": [*base, "--layers=1"],
    }
    for message, result in zip(cases, drive("polysemanticity", *cases.values()), strict=True):
        assert result["status"] == 2, (message, result)
        assert message in result["err"], result["err"]
        assert "Traceback" not in result["err"]
    assert not (place / "refused").exists()
