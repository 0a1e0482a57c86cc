"""`causeway evaluate` on the bundled model from the files of `causeway prompts`, and its refusals."""

import csv
import json

import pytest


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    (made,) = drive(
        "prompts",
        [f"--out={folder / 'prompts'}", "--model=bundled:tiny", "--behaviours=bundled_agreement,bundled_addition",
         "--train=12", "--test=6"],
    )  # fmt: skip
    assert made["status"] == 0, made["err"]
    return folder


def _table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_bundled_model_is_right_and_passed_where_it_is_clear(drive, place):
    out = place / "out"
    results = drive(
        "evaluate",
        [f"--prompts={place / 'prompts'}", f"--out={out}"],
        [f"--prompts={place / 'prompts'}", f"--out={place / 'again'}", "--splits=test", "--batch_rows=5"],
        [f"--prompts={place / 'prompts'}", f"--out={out}"],
        [f"--prompts={place / 'prompts'}", f"--out={place / 'written'}", "--behaviours=bundled_addition",
         "--splits=test", "--generate", "--max_new_tokens=5", "--by=group,final_answer"],
    )  # fmt: skip
    assert [r["status"] for r in results] == [0, 0, 2, 0], [r["err"] for r in results]
    assert "baseline_metrics_test.json is there already" in results[2]["err"]
    assert "bundled_agreement test: cannot tell: 6 groups, 10 needed; margin success 100% of 6" in results[0]["out"]
    found = json.loads((out / "baseline_metrics_test.json").read_text())["behaviours"]
    for name in ("bundled_addition", "bundled_agreement"):
        assert found[name]["prompts"] == 6
        assert found[name]["sign_accuracy"]["rate"] > 0.8
        table = _table(out / f"baseline_{name}_test.csv")
        again = _table(place / "again" / f"baseline_{name}_test.csv")
        for row, other in zip(table, again, strict=True):
            difference = float(row["correct_log_prob"]) - float(row["incorrect_log_prob"])
            assert float(row["difference"]) == pytest.approx(difference)
            assert float(row["difference"]) == pytest.approx(float(other["difference"]), abs=1e-4)
        for figure in (f"baseline_{name}_test", "baseline_rates_test"):
            assert (out / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert len(_table(out / f"baseline_groups_{name}_test.csv")) == 6
    written = json.loads((place / "written" / "baseline_metrics_test.json").read_text())["behaviours"]
    assert written["bundled_addition"]["generation_accuracy"]["rate"] > 0.8


@pytest.mark.slow
def test_bad_input_is_one_line_or_skipped(drive, place):
    def file(name, *records):
        path = place / f"{name}.jsonl"
        path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
        return [f"--prompts={path}", f"--out={place / 'refused'}"]

    good = {"prompt": "today the key", "correct_answer": " is", "incorrect_answer": " are", "id": "p0"}
    never = {**good, "correct_answer": " is", "incorrect_answer": " is in"}
    cases = {
        "--prompts: got nothing": ["--out=x"],
        "line 2: not JSON": file("malformed", good, "{"),
        "answers that never diverge": file("never", good, never),
        "' wug' in 'today the key wug' is not in the model's vocabulary": file(
            "unknown", {**good, "correct_answer": " wug"}
        ),
        "tokens with its longer answer, but the context": file(
            "long",
            good,
            {**good, "prompt": "today" + " the" * 126, "correct_answer": " is in", "incorrect_answer": " are in"},
        ),
        "none of that in --prompts": [*file("other", good), "--splits=test"],
        "needs a number": [*file("numberless", good), "--generate"],
        "line 3: has the prompt and answers of repeated-1": file(
            "repeated", {**good, "id": None}, {**good, "prompt": "today the keys"}, {**good, "id": None}
        ),
        "--by: no prompt has a field 'nosuch'": [*file("by", good), "--by=nosuch"],
        "min_score_diff: got nan": [*file("nan", good), "--min_score_diff=nan"],
        "is a file; give a folder": [*file("out", good)[:1], f"--out={place / 'out.jsonl'}"],
        "no such file": ["--prompts=absent.jsonl", f"--out={place / 'refused'}"],
        "none of 1 prompts can be scored": [*file("nothing", never), "--skip_bad"],
    }
    *refused, kept, ungrouped = drive(
        "evaluate", *cases.values(), [*file("kept", good, "{", never)[:1], "--skip_bad", f"--out={place / 'kept'}"],
        [*file("own", good, {**good, "prompt": "today the keys", "group": None, "split": None, "note": 1})[:1],
         f"--out={place / 'own'}", "--by=note"],
    )  # fmt: skip
    for message, result in zip(cases, refused, strict=True):
        assert result["status"] == 2, message
        assert message in result["err"]
        assert "Traceback" not in result["err"]
    assert not (place / "refused").exists()
    assert kept["status"] == 0
    assert kept["err"].count("left out:") == 2
    assert len(_table(place / "kept" / "baseline_kept_all.csv")) == 1
    assert ungrouped["status"] == 0, ungrouped["err"]
    # Prompts that name no group are a group each.
    assert json.loads((place / "own" / "baseline_metrics_all.json").read_text())["behaviours"]["own"]["groups"] == 2
    assert [row["value"] for row in _table(place / "own" / "baseline_groups_own_all.csv")] == ["1"]
