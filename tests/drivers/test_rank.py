"""`causeway rank` on the bundled model: its files, what is printed, resuming, and its refusals."""

import json

import pyarrow.parquet as pq
import pytest

from causeway.ports.results.neuron_files import read_neurons


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rank")
    (made,) = drive(
        "prompts",
        [f"--out={folder / 'prompts'}", "--model=bundled:tiny", "--behaviours=bundled_addition", "--train=12",
         "--test=12"],
    )  # fmt: skip
    assert made["status"] == 0, made["err"]
    return folder


@pytest.mark.slow
def test_the_ranking_is_written_and_read_back_and_the_same_command_goes_on(drive, place):
    prompts, out, work = f"--prompts={place / 'prompts'}", place / "out", f"--workdir={place / 'work'}"
    first, plain, twice, split = drive(
        "rank",
        [prompts, f"--out={out}", work, "--keep_layers=2", "--keep=7"],
        [prompts, f"--out={place / 'plain'}", "--keep_layers=2", "--keep=7"],
        [prompts, f"--out={place / 'plain'}"],
        [prompts, f"--out={place / 'split'}", "--splits=test", "--layers=1,-1", "--attention", "--held_out=0.4",
         "--criteria=saliency_last", "--keep=3"],
    )  # fmt: skip
    assert [r["status"] for r in (first, plain, twice, split)] == [0, 0, 2, 0], [first["err"], split["err"]]
    assert "rank.json is there already" in twice["err"]
    assert "12 prompts choose, 12 estimate; right on 100%" in first["out"]
    about = json.loads((out / "rank.json").read_text())
    assert about["chosen_by"] == "the split train"
    assert about["accuracy"]["rate"] == 1
    critical = [entry["layer"] for entry in about["critical_layers"]]
    assert len(critical) == 2
    neurons = read_neurons(out)
    assert neurons.layer.tolist() == [critical[0]] * 7 + [critical[1]] * 7
    assert neurons.first(1).layer.tolist() == critical
    for name in ("neurons", "all_neurons", "layers"):
        read = [pq.read_table(path / f"{name}.parquet").to_pylist() for path in (out, place / "plain")]
        assert repr(read[0]) == repr(read[1]), name
    rule = [r for r in pq.read_table(out / "layers.parquet").to_pylist()
            if r["critical"] and (r["mode"], r["scope"], r["paths"]) == ("mean", "all", "total")]  # fmt: skip
    assert all(row["high"] < 0 and row["q"] < 0.05 for row in rule)
    other = json.loads((place / "split" / "rank.json").read_text())
    assert other["chosen_by"] == "those not held out: share 0.4, seed 0"
    assert (other["choosing_prompts"], other["estimating_prompts"], other["layers"]) == (7, 5, [1, 3])
    (again,) = drive("rank", [prompts, f"--out={out}", work, "--keep_layers=2", "--keep=7"])
    assert again["status"] == 0, again["err"]
    assert again["out"] == first["out"]
    assert not [program for program in again["compiled"] if program.startswith("jit(on_one")]


def test_bad_input_is_refused_in_one_line_before_anything_is_compiled(drive, place):
    def file(name, *records):
        path = place / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return [f"--prompts={path}", f"--out={place / 'refused'}"]

    good = {"prompt": "11+22=", "correct_answer": "33.", "incorrect_answer": "34."}
    other = {**good, "prompt": "11+23=", "incorrect_answer": "35.", "correct_answer": "34."}
    cases = {
        "--prompts: got nothing": ["--out=x"],
        "answers: got none": file("unanswered", good, {"prompt": "11+22="}),
        "means need 2 or more": file("one", good),
        "1 of 2 would choose": file("two", good, other),
        "each counts once": file("twice", good, good, other),
        "--layers: got 7": [*file("layers", good, other), "--layers=7"],
        "criteria: got": [*file("criteria", good, other), "--criteria=size"],
        "keep_layers": [*file("keep", good, other), "--keep_layers=0"],
        "--held_out: got 1.5": [*file("share", good, other), "--held_out=1.5"],
        "--gating: without effect": [*file("gating", good, other), "--gating=study"],
        "--held_out: without effect": [
            f"--prompts={place / 'prompts'}",
            f"--out={place / 'refused'}",
            "--held_out=0.3",
        ],
    }
    results = drive("rank", *cases.values())
    for (message, arguments), result in zip(cases.items(), results, strict=True):
        assert result["status"] == 2, (arguments, result)
        assert message in result["err"], (message, result["err"])
        assert result["err"].count("\n") == 1
        assert not result["compiled"], (message, result["compiled"])
    assert not (place / "refused").exists()
