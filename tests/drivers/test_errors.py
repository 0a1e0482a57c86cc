"""`causeway errors` on what `causeway represent` wrote: its files, kept and given scores, words, and its refusals."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.engine.directions import Directions
from causeway.ports.results.direction_files import write_directions
from causeway.ports.results.neuron_files import read_neurons


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors")
    (made,) = drive(
        "prompts", [f"--out={folder / 'prompts'}", "--behaviours=bundled_addition", "--train=24", "--test=16"]
    )
    (read,) = drive("represent", [f"--prompts={folder / 'prompts'}", f"--out={folder / 'read'}"])
    metadata = f"--prompts={folder / 'read' / 'metadata.jsonl'}"
    (scored,) = drive("second_order", [metadata, f"--workdir={folder / 'scores'}", "--heads=0"])
    assert [r["status"] for r in (made, read, scored)] == [0] * 3, [r["err"] for r in (made, read, scored)]
    for name, fingerprint in (("own", json.loads((folder / "read" / "represent.json").read_text())),
                              ("other", {"model_fingerprint": "123"})):  # fmt: skip
        (folder / name).mkdir()
        about = {"model_fingerprint": fingerprint["model_fingerprint"]}
        (folder / name / "decompose.json").write_text(json.dumps(about))
        words = pa.table({"layer": [2] * 256, "neuron": list(range(256)), "words": ["nine, -ten"] * 256})
        pq.write_table(words, folder / name / "neurons.parquet")
    (folder / "two").mkdir()
    write_directions(folder / "two", Directions(("x", "y"), np.random.default_rng(0).standard_normal((2, 128))))
    return folder


@pytest.fixture(scope="module")
def base(place):
    return [f"--prompts={place / 'read' / 'metadata.jsonl'}", "--labels=margin"]


@pytest.mark.slow
def test_neurons_examples_and_rates_are_written(drive, place, base):
    out = place / "out"
    words = f"--decompositions={place / 'own'}"
    found, refused, again = drive(
        "errors", [*base, f"--out={out}", "--layers=2", words], [*base, f"--out={out}"],
        [*base, f"--out={out}", "--overwrite", "--layers=1,2", "--keep=3", "--examples=2", f"--workdir={place / 'w'}"],
    )  # fmt: skip
    assert [found["status"], refused["status"], again["status"]] == [0, 2, 0], [found["err"], again["err"]]
    assert "errors.json is there already; give another folder or --overwrite" in refused["err"]
    assert "40 prompts: " in found["out"]
    assert "margin up to the median" in found["out"]
    assert "words: nine, -ten" in found["out"]
    table = pq.read_table(out / "errors.parquet")
    assert table.num_rows == 512
    assert table["verdict"].null_count == 509
    assert len(read_neurons(out / "errors.parquet").layer) == 512
    examples = [json.loads(line) for line in (out / "examples.jsonl").read_text().splitlines()]
    assert len(examples) == 3 * 2 * 2
    assert {"prompt", "right_answer", "given_answer", "margin", "value", "class"} <= set(examples[0])
    groups = pq.read_table(out / "groups.parquet")
    assert "final_answer" in groups["field"].to_pylist()
    about = json.loads((out / "errors.json").read_text())
    assert (about["measure"], about["prompts"], about["kept"]) == ("activation", 40, 3)
    assert (out / "figures" / "errors.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_scores_of_second_order_give_the_same_as_scores_computed_here(drive, place, base):
    measure = "--measure=second_order"
    given, computed = drive(
        "errors", [*base, measure, f"--out={place / 'given'}", f"--scores={place / 'scores'}"],
        [*base, measure, f"--out={place / 'computed'}"],
    )  # fmt: skip
    assert [given["status"], computed["status"]] == [0, 0], [given["err"], computed["err"]]
    assert not any("_scored" in name for name in given["compiled"])
    one, two = (pq.read_table(place / name / "errors.parquet") for name in ("given", "computed"))
    for name in one.column_names:
        np.testing.assert_array_equal(one[name].to_pylist(), two[name].to_pylist())
    assert (place / "given" / "examples.jsonl").read_bytes() == (place / "computed" / "examples.jsonl").read_bytes()


def test_bad_input_is_one_line(drive, place, base):
    out, prompts = f"--out={place / 'refused'}", f"--prompts={place / 'prompts'}"
    scores, second = f"--scores={place / 'scores'}", "--measure=second_order"
    cases = {
        "--prompts: none of 40 has a label; needs the metadata.jsonl": [prompts, out],
        "that choose is wrong; needs 4 groups or more of each class; graded labels": [base[0], out],
        "--out: got nothing": base,
        "--scores: without effect with --measure=activation": [*base, out, scores],
        "--layers: without effect with --scores": [*base, out, scores, second, "--layers=1"],
        "has other scores than these prompts'": [*base, out, scores, second, "--splits=train", "--held_out=0.5"],
        "give the workdir of a finished `second_order`": [*base, out, second, f"--scores={place / 'read'}"],
        "--along: got nothing; there are the directions x, y": [*base, out, second, f"--directions={place / 'two'}"],
        "--position: without effect without --directions": [*base, out, second, "--position=-2"],
        "--decompositions: made on weights 123": [*base, out, f"--decompositions={place / 'other'}"],
        "--decompositions: ": [*base, out, f"--decompositions={place / 'read'}"],
        "--by: no prompt has a field 'colour'": [*base, out, "--by=colour"],
        "--strata: prompt 'bundled_addition": [*base, out, "--strata=carry"],
        "--layers: got 9": [*base, out, "--layers=9"],
        "--held_out: got 1.5": [*base, out, "--held_out=1.5"],
    }
    for message, result in zip(cases, drive("errors", *cases.values()), strict=True):
        assert result["status"] == 2, (message, result)
        assert message in result["err"], result["err"]
        assert "Traceback" not in result["err"]
    assert not (place / "refused").exists()
