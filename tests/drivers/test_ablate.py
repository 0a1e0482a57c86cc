"""`causeway ablate` on the bundled model: its files, that a second run goes on, and its refusals."""

import json

import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablate")
    given = [f"--out={folder / 'prompts'}", "--behaviours=bundled_addition", "--train=24", "--test=12"]
    (made,) = drive("prompts", given)
    assert made["status"] == 0, made["err"]
    chosen = [f"--prompts={folder / 'prompts'}", "--neurons=1:3,1:40,2:7", "--largest=4"]
    first, other = drive(
        "components",
        [*chosen, "--position=answers", f"--workdir={folder / 'components'}"],
        [*chosen, f"--workdir={folder / 'last'}"],
    )
    assert (first["status"], other["status"]) == (0, 0), (first["err"], other["err"])
    (words,) = drive(
        "decompose",
        [f"--components={folder / 'components'}", "--atoms=3", "--as_published", f"--out={folder / 'words'}"],
    )
    assert words["status"] == 0, words["err"]
    return folder


@pytest.mark.slow
def test_neurons_are_ablated_in_the_output_space_and_in_the_model(drive, place):
    given = [f"--prompts={place / 'prompts'}", f"--components={place / 'components'}", f"--out={place / 'out'}"]
    words = [f"--decompositions={place / 'words'}", "--as_published", f"--workdir={place / 'work'}"]
    found, again, refused, plain = drive(
        "ablate", [*given, *words], [*given, *words, "--overwrite"], given, [*given, "--nolive", "--overwrite"]
    )
    assert [run["status"] for run in (found, again, refused, plain)] == [0, 0, 2, 0], [found["err"], again["err"]]
    assert again["out"] == found["out"]
    assert not any(name.endswith(("edited_lasts)", "_summed)", "_massed)")) for name in again["compiled"])
    assert "ablate.json is there already; give another folder or --overwrite" in refused["err"]
    assert "sparse_as_published" in found["out"]
    assert "live    significant" in found["out"]
    assert "second-order mass in the chosen layers" in found["out"]
    table = pq.read_table(place / "out" / "ablations.parquet")
    assert set(table["place"].to_pylist()) == {"output"}
    assert set(table["prompts"].to_pylist()) == {12}
    report = json.loads((place / "out" / "ablate.json").read_text())
    assert [layer["chosen"] for layer in report["layers"]] == [False, True, True, False]
    assert report["layers"][3]["mass"] == 0
    assert report["live_and_output"] == {}


def test_bad_input_is_one_line(drive, place):
    prompts, components, out = (
        f"--prompts={place / 'prompts'}", f"--components={place / 'components'}", f"--out={place / 'refused'}",
    )  # fmt: skip
    (place / "empty").mkdir()
    cases = {
        "--components: got nothing": [prompts, out],
        "give the folder that `components` wrote": [prompts, out, f"--components={place / 'empty'}"],
        "of another run": [prompts, components, out, "--splits=test"],
        "make these with --position=answers": [prompts, f"--components={place / 'last'}", out],
        "--decompositions: ": [prompts, components, out, f"--decompositions={place / 'empty'}"],
        "--layers: without effect": [prompts, components, out, "--layers=1"],
    }
    for message, result in zip(cases, drive("ablate", *cases.values()), strict=True):
        assert result["status"] == 2, (message, result)
        assert message in result["err"]
        assert "Traceback" not in result["err"]
    assert not (place / "refused").exists()
