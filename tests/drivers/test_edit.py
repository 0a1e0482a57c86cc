"""`causeway edit` on the bundled model: settings chosen, estimated, priced and written as a model; its refusals."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.engine.sweep.checksums import check

TASK = [(a, b) for a in (14, 23, 44, 51, 62) for b in (12, 25, 31, 95)]


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edit")
    lines(folder / "task.jsonl", [
        {"prompt": f"{a}+{b}=", "correct_answer": f"{a + b}.", "incorrect_answer": f"{a + b - 1}.",
         "id": f"{a}+{b}"} for a, b in TASK
    ])  # fmt: skip
    for split in ("train", "test"):
        lines(folder / f"task_{split}.jsonl", [
            {"prompt": f"{a}+{b}=", "correct_answer": f"{a + b}.", "incorrect_answer": f"{a + b - 1}.",
             "behaviour": "task", "split": split} for a, b in TASK if (b == 31) == (split == "test")
        ])  # fmt: skip
    lines(folder / "other.jsonl", [
        {"prompt": "today the key", "correct_answer": " is", "incorrect_answer": " are"},
        {"prompt": "today the keys", "correct_answer": " are", "incorrect_answer": " is"},
    ])  # fmt: skip
    table = pa.table({"layer": [2, 1, 0], "neuron": [210, 152, 122], "score": [1.5, -0.2, -3.0]})
    pq.write_table(table, folder / "neurons.parquet")
    return folder


@pytest.mark.slow
def test_an_edit_is_chosen_estimated_priced_and_written(drive, place):
    out, edited = place / "out", place / "edited"
    arguments = [
        f"--prompts={place / 'task.jsonl'}", f"--neurons={place}", "--factors=0.5,2", "--sign_by=score",
        f"--unrelated={place / 'other.jsonl'}", "--unrelated_data=tasks", "--text_rows=12", "--length=24",
        f"--out={out}", f"--export={edited}",
    ]  # fmt: skip
    made, again, written = drive("edit", arguments, arguments, [*arguments, "--overwrite"])
    assert [made["status"], again["status"], written["status"]] == [0, 2, 0], made["err"] + written["err"]
    assert "edit.json is there already" in again["err"]
    assert written["out"] == made["out"]
    summary, rows = json.loads((out / "edit.json").read_text()), pq.read_table(out / "edits.parquet").to_pylist()
    kinds = {row["kind"] for row in rows}
    assert kinds == {"alone", "suppress", "both"}  # the one neuron amplified is alone already
    assert set(summary["sets"]) == {"choosing", "held_out", "unrelated", "unrelated_text"}
    assert summary["sets"]["choosing"]["prompts"] == summary["sets"]["held_out"]["prompts"] == 10
    chosen = summary["chosen"]
    best = max((row for row in rows if row["set"] == "choosing"), key=lambda row: row["effect"])
    assert (best["setting"], best["neurons"], best["factors"]) == tuple(
        chosen[name] for name in ("setting", "neurons", "factors")
    )
    for name in ("edits.parquet", "edit.json", "figures/price.png"):
        check(out / name)
        assert name in (out / "causeway.sha256").read_text()
    about = json.loads((edited / "edit.json").read_text())
    assert [f"{n['layer']}:{n['neuron']}" for n in about["neurons"]] == chosen["neurons"]
    (scored,) = drive(
        "evaluate", [f"--model={edited}", f"--prompts={place / 'task.jsonl'}", f"--out={place / 'scored'}"]
    )
    assert scored["status"] == 0, scored["err"]
    differences = [
        float(row["difference"]) for row in csv.DictReader((place / "scored" / "baseline_task_all.csv").open())
    ]
    after = np.mean([summary["sets"][name]["after"] for name in ("choosing", "held_out")])
    assert np.mean(differences) == pytest.approx(after, abs=1e-5)


def test_a_split_chooses_and_a_workdir_keeps_what_is_measured(drive, place):
    splits, task = (
        f"--prompts={place / 'task_train.jsonl'},{place / 'task_test.jsonl'}",
        f"--prompts={place / 'task.jsonl'}",
    )
    shared = ["--neurons=2:210,1:152", "--factors=2", "--together=2"]
    work, other = f"--workdir={place / 'work'}", f"--workdir={place / 'other'}"
    first, refused, half, second = drive(
        "edit",
        [splits, *shared, work, f"--out={place / 'split'}"],
        [splits, *shared, work, "--held_out=0.3", f"--out={place / 'refused'}"],
        [task, *shared, other, f"--out={place / 'half'}"],
        [task, *shared, other, "--held_out=0.3", "--seed=4", f"--out={place / 'share'}"],
    )
    assert [done["status"] for done in (first, refused, half, second)] == [0, 2, 0, 0], first["err"] + second["err"]
    assert "--held_out: without effect where prompts of the split train choose" in refused["err"]
    assert "3 settings; 20 prompts of the task, of which 15 choose" in first["out"]
    assert "of which 14 choose" in second["out"]
    assert "the price is not known" in first["out"]
    assert not (place / "split" / "figures").exists()
    # Another division of the prompts runs no model.
    assert not [program for program in second["compiled"] if "_run_and_reduced" in program]


def test_bad_input_is_one_line(drive, place):
    task, neurons = f"--prompts={place / 'task.jsonl'}", "--neurons=2:210,1:152"
    out = f"--out={place / 'refused'}"
    (place / "there").mkdir()
    lines(place / "twice.jsonl", [{"prompt": "44+95=", "correct_answer": "139.", "incorrect_answer": "138."}])
    cases = {
        "--prompts: got nothing": [neurons, out],
        "--neurons: got nothing": [task, out],
        "--out: got nothing": [task, neurons],
        "the model has layers 0..3": [task, "--neurons=9:1", out],
        "--factors: got 'x'": [task, neurons, out, "--factors=x"],
        "--factors: got [2.0, 2.0]": [task, neurons, out, "--factors=2,2"],
        "--together: got 3; needs a whole number from 1 to 2": [task, neurons, out, "--together=3"],
        "--sign_by: 2:210,1:152: a list, which has no column 'score'": [task, neurons, out, "--sign_by=score"],
        "lacks the columns ['nosuch']": [task, f"--neurons={place}", out, "--sign_by=nosuch"],
        "needs some above 1 to amplify": [task, f"--neurons={place}", out, "--sign_by=score", "--factors=2"],
        "--held_out: got 0": [task, neurons, out, "--held_out=0"],
        "--length: without effect without --unrelated_data": [task, neurons, out, "--length=9"],
        "--dictionaries: without effect": [task, neurons, out, "--dictionaries=bundled:tiny"],
        "--unrelated: absent.jsonl": [task, neurons, out, "--unrelated=absent.jsonl"],
        "has the prompt and answers of 44+95": [task, neurons, out, f"--unrelated={place / 'twice.jsonl'}"],
        "is there already; name another folder, or give --overwrite": [
            task, neurons, out, f"--export={place / 'there'}",
        ],
    }  # fmt: skip
    for expected, result in zip(cases, drive("edit", *cases.values()), strict=True):
        assert result["status"] == 2, (expected, result)
        assert expected in result["err"], result["err"]
        assert result["err"].count("\n") == 1, result["err"]
        assert not [program for program in result["compiled"] if "_run_and_reduced" in program]
    assert not (place / "refused").exists()


def test_a_model_is_not_written_over_itself(drive, place):
    own = place / "own"
    shared = [f"--prompts={place / 'task.jsonl'}", "--neurons=2:210", "--factors=2"]
    first, second = drive(
        "edit",
        [*shared, f"--out={place / 'first'}", f"--export={own}"],
        [*shared, f"--model={own}", f"--out={place / 'second'}", f"--export={own}", "--overwrite"],
    )
    assert first["status"] == 0, first["err"]
    assert second["status"] == 2
    assert "--export" in second["err"]
    assert "was loaded from" in second["err"]
