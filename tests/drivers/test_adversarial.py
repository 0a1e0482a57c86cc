"""`causeway adversarial` on the bundled model: words given and words of neurons, files that run again, refusals."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import causeway as cw
from causeway.engine.sweep.checksums import check
from causeway.ports.lexicons.lexicon_files import write_lexicon
from causeway.ports.prompts.prompt_files import read_prompts
from causeway.ports.results.decomposition_files import write_layer, write_summary

SUMS = [(a, b) for a in (14, 23, 44, 51, 62, 75, 38) for b in (12, 25, 31, 95)]


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def words_of_neurons(folder, fingerprint, lexicon):
    """What `decompose` writes: neuron 1:5 says Turkey, and the other way Chile."""
    folder.mkdir()
    entries = [[(0, 2.0, "Turkey"), (1, -1.0, "Chile")]]
    arrays = {"atom": np.array([[0, 1]]), "coefficient": np.array([[2.0, -1.0]])}
    write_layer(folder, 1, np.array([5]), entries, (512, len(lexicon)), arrays)
    about = {"model_fingerprint": fingerprint, "layers": [{"layer": 1}]}
    write_summary(folder, pa.table({"layer": [1], "neuron": [5]}), about)
    write_lexicon(folder / "lexicon.jsonl", lexicon)


def scores(folder, fingerprint, layer=1):
    folder.mkdir()
    table = {"layer": [layer], "neuron": [5], "direction": ["answers"], "effect": [-0.5]}
    pq.write_table(pa.table(table), folder / "neurons.parquet")
    (folder / "second_order.json").write_text(json.dumps({"model_fingerprint": fingerprint}))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder, own = tmp_path_factory.mktemp("adversarial"), cw.load_model("bundled:tiny").fingerprint
    records = [
        {"prompt": f"{a}+{b}=", "correct_answer": f"{a + b}.", "incorrect_answer": f"{a + b - 1}.", "a": a, "b": b,
         "split": "train" if b in (12, 25) else "test", "id": f"{a}+{b}"} for a, b in SUMS
    ]  # fmt: skip
    lines(folder / "sums.jsonl", records)
    wrong = [r | {"correct_answer": r["incorrect_answer"], "incorrect_answer": r["correct_answer"]} for r in records]
    lines(folder / "wrong.jsonl", wrong)
    lines(folder / "template.jsonl", [{
        "prompt": "{a}+{b}=", "correct_answer": "{a+b}.", "incorrect_answer": "{a+b-1}.", "final_answer": "{a+b}",
        "slots": {"a": [14, 23, 44, 51, 62, 75, 38, 91], "b": [12, 25, 31, 95]}, "id": "sum",
    }])  # fmt: skip
    lines(folder / "odd.jsonl", [{**records[0], "prompt": "{a}+{c}=", "slots": {"a": [14, 15]}}])
    words_of_neurons(folder / "words", own, ["Turkey", "Chile", "Japan", "Spain", "here"])
    words_of_neurons(folder / "foreign", "0" * 64, ["Turkey", "Chile"])
    scores(folder / "scores", own)
    scores(folder / "other_scores", "0" * 64)
    scores(folder / "other_layer", own, 2)
    return folder


@pytest.mark.slow
def test_words_given_are_tried_judged_and_written_as_prompts_that_run_again(drive, place):
    out = place / "out"
    arguments = [f"--prompts={place / 'sums.jsonl'}", "--words=Turkey,Ireland,here,in", "--keep=2",
                 f"--out={out}"]  # fmt: skip
    made, again, written = drive("adversarial", arguments, arguments, [*arguments, "--overwrite"])
    assert [made["status"], again["status"], written["status"]] == [0, 2, 0], made["err"] + written["err"]
    assert "adversarial.json is there already" in again["err"]
    assert written["out"] == made["out"]
    assert "14 prompts choose, 14 are held out" in made["out"]
    assert made["out"].count("nats as it stands") == 3
    for name in ("adversarial.jsonl", "words.parquet", "adversarial.json"):
        check(out / name)
        assert name in (out / "causeway.sha256").read_text()
    summary, rows = json.loads((out / "adversarial.json").read_text()), pq.read_table(out / "words.parquet").to_pylist()
    assert set(summary["words"]) == {"adversarial", "random", "opposite"}
    assert {row["word"] for row in rows if row["pool"] == "wrong"} == {"Turkey", "Ireland", "here", "in"}
    kept = sorted((row for row in rows if row["pool"] == "wrong"), key=lambda row: row["push"])[:2]
    assert [row["word"] for row in kept] == summary["words"]["adversarial"]
    records, _ = read_prompts([out / "adversarial.jsonl"])
    (scored,) = drive("evaluate", [f"--prompts={out / 'adversarial.jsonl'}", f"--out={place / 'scored'}"])
    assert scored["status"] == 0, scored["err"]
    metrics = json.loads((place / "scored" / "baseline_metrics_held_out.json").read_text())["behaviours"]
    for arm in summary["arms"]:
        own = [record for record in records if record.behaviour == arm["arm"]]
        assert 1 - metrics[arm["arm"]]["sign_accuracy"]["rate"] == pytest.approx(arm["error_rate"])
        assert np.mean([record.fields["margin"] for record in own]) == pytest.approx(
            metrics[arm["arm"]]["difference"]["mean"], abs=1e-4
        )


def test_words_of_neurons_are_tried_by_their_weight(drive, place):
    shared = [f"--prompts={place / 'sums.jsonl'}", "--keep=1"]
    own = [f"--decompositions={place / 'words'}", f"--neurons={place / 'scores'}"]
    found, kept, again = drive(
        "adversarial",
        [*shared, *own, f"--out={place / 'neurons'}"],
        [*shared, *own, f"--workdir={place / 'work'}", f"--out={place / 'kept'}"],
        [*shared, *own, f"--workdir={place / 'work'}", f"--out={place / 'kept'}", "--overwrite"],
    )
    assert found["status"] == kept["status"] == again["status"] == 0, found["err"] + kept["err"] + again["err"]
    summary = json.loads((place / "neurons" / "adversarial.json").read_text())
    assert summary["words"]["adversarial"] == ["Turkey"]
    assert summary["words"]["opposite"] == ["Chile"]
    assert summary["words"]["random"][0] in ("Japan", "Spain", "here")
    weights = {row["word"]: row["weight"] for row in pq.read_table(place / "neurons" / "words.parquet").to_pylist()}
    assert (weights["Turkey"], weights["Chile"]) == (-1.0, 0.5)
    # What was read is kept: the same command runs no model.
    assert not [program for program in again["compiled"] if "_run_and_reduced" in program]
    assert again["out"] == kept["out"]


def test_operands_are_replaced_and_sums_recomputed(drive, place):
    out = place / "operands"
    (found,) = drive("adversarial", [
        f"--prompts={place / 'template.jsonl'}", "--slots=b", "--words=95,31", "--keep=1", f"--out={out}",
    ])  # fmt: skip
    assert found["status"] == 0, found["err"]
    records, _ = read_prompts([out / "adversarial.jsonl"])
    texts = [record.text for record in records if record.behaviour == "adversarial"]
    assert texts
    assert len(set(texts)) == len(texts)
    for record in records:
        a, b = map(int, record.text.removesuffix("=").split("+"))
        assert (record.correct, record.incorrect) == (f"{a + b}.", f"{a + b - 1}.")
        assert record.fields["final_answer"] == str(a + b)
        assert (int(record.fields["a"]), int(record.fields["b"])) == (a, b)


def test_bad_input_is_one_line(drive, place):
    prompts, words, out = f"--prompts={place / 'sums.jsonl'}", "--words=Turkey,here", f"--out={place / 'refused'}"
    decomposition, neurons = f"--decompositions={place / 'words'}", f"--neurons={place / 'scores'}"
    cases = {
        "--prompts: got nothing": [words, out],
        "--out: got nothing": [prompts, words],
        "--decompositions: got nothing": [prompts, out],
        "--neurons: got nothing": [prompts, decomposition, out],
        "--decompositions: without effect with --words": [prompts, words, decomposition, out],
        "--decompositions: made on weights 000000000000": [
            prompts, f"--decompositions={place / 'foreign'}", neurons, out,
        ],
        "scores: made on weights 000000000000": [
            prompts, decomposition, f"--neurons={place / 'other_scores'}", out,
        ],
        "--neurons: none of 1 (such as 2:5) has a decomposition": [
            prompts, decomposition, f"--neurons={place / 'other_layer'}", out,
        ],
        "1:5: a list, which has no scores": [prompts, decomposition, "--neurons=1:5", out],
        "--words: 'theorem' can be put into none of 14 prompts": [prompts, out, "--words=here,theorem"],
        "--words: 'here' comes 2 times": [prompts, out, "--words=here,here"],
        "--insert: got 'x'; needs {word} once": [prompts, words, out, "--insert=x"],
        "has no field 'c' for a slot": [prompts, words, out, "--slots=c"],
        "none of 14 prompts: it is no value of a (14, 23, 38, 44, 51, ...)": [prompts, out, "--words=7", "--slots=a"],
        "slot 'c': the prompt has it, the field slots has not": [f"--prompts={place / 'odd.jsonl'}", words, out],
        "that choose is answered rightly as it stands": [f"--prompts={place / 'wrong.jsonl'}", words, out],
        "--held_out: without effect where prompts of the split train choose": [prompts, words, out, "--held_out=0.3"],
        "--held_out: got 0": [f"--prompts={place / 'template.jsonl'}", "--words=95", "--slots=b", out, "--held_out=0"],
        "--along: without effect without --directions": [prompts, words, out, "--along=d"],
        "--num_words: without effect with words without weights": [prompts, words, out, "--num_words=3"],
        "--per_template: without effect without a template": [prompts, words, out, "--per_template=3"],
        "--at: without effect beside --slots without --insert": [prompts, out, "--words=31", "--slots=b", "--at=b"],
        "--insert: without effect where each prompt is a template": [
            f"--prompts={place / 'template.jsonl'}", out, "--words=31", "--slots=b", "--insert={word} ",
        ],
        "--lexicon: without effect where values alone are replaced": [
            f"--prompts={place / 'template.jsonl'}", out, "--words=31", "--slots=b", "--lexicon=maths",
        ],
        "--lexicon: got 'words'": [prompts, words, out, "--lexicon=words"],
        "--dictionaries: without effect": [prompts, words, out, "--dictionaries=bundled:tiny"],
    }  # fmt: skip
    for expected, result in zip(cases, drive("adversarial", *cases.values()), strict=True):
        assert result["status"] == 2, (expected, result)
        assert expected in result["err"], (expected, result["err"])
        assert result["err"].count("\n") == 1, result["err"]
        ran = [program for program in result["compiled"] if "_run_and_reduced" in program]
        assert bool(ran) <= ("answered rightly" in expected), expected
    assert not (place / "refused").exists()
