"""`causeway intervene`: features by name and from graphs, the published files, generation, resumption, refusals."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from causeway.ports.dictionaries.load import save_dictionary

LINES = [
    {"prompt": "you won. choice:", "correct_answer": " stop", "incorrect_answer": " bet", "id": "a"},
    {"prompt": "you lost. choice:", "correct_answer": " bet", "incorrect_answer": " stop", "id": "b"},
    {"prompt": "you lost $5. choice:", "correct_answer": " bet", "incorrect_answer": " stop", "id": "c"},
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """Transcoders of all layers and a behaviour's file."""
    folder = tmp_path_factory.mktemp("intervene")
    transcoders = tiny.make_dictionary("relu", layers=(0, 1, 2), stream="mlp_in", write_stream="mlp_out")
    save_dictionary(folder / "transcoders", transcoders)
    lines = [json.dumps(line | {"behaviour": "games", "split": "train"}) for line in LINES]
    (folder / "games.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def base(small, place):
    return ["--model", small / "model", "--dictionaries", place / "transcoders"]


ONE = ["--prompt", "you won.", "--correct", " bet", "--incorrect", " stop"]


@pytest.fixture(scope="module")
def runs(drive, base, place):
    many = [*base, "--prompts", place / "games.jsonl"]
    graphs = drive("attribute", [*many, "--graph_format", "none", "--workdir", place / "graphs"])
    swept = [
        *many, "--graphs", place / "graphs", "--max_features", "6", "--kinds", "single,layer,circuit,complement",
        "--operation", "zero,inhibit:2,patch", "--importance", "--min_active", "1", "--as_published",
        "--workdir", place / "swept",
    ]  # fmt: skip
    named = [
        "--edits",
        "1:-1:5,2:all:3=4",
        "--operation",
        "set:1.5",
        "--generate",
        "--max_new_tokens",
        "2",
        "--workdir",
        place / "one",
    ]
    done = drive("intervene", swept, swept, [*base, *ONE, *named])
    assert [run["status"] for run in [*graphs, *done]] == [0] * 4, [run["err"] for run in [*graphs, *done]]
    return done


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_found_is_printed(runs):
    assert "games, ablation: 3 prompts, open; " in runs[0]["out"]
    assert "predicted by the graphs and measured, single features: slope" in runs[0]["out"]
    assert "layer  1 feature      5 at end-0" in runs[2]["out"]


def test_files_of_a_behaviour(runs, place):
    folder = place / "swept" / "games"
    ablated, patched = (rows(folder / f"intervention_{family}_games.csv") for family in ("ablation", "patching"))
    assert {row["intervention_type"] for row in ablated} == {"ablation_zero", "ablation_inhibit_2"}
    assert {row["kind"] for row in ablated} == {"single", "layer", "circuit", "complement"}
    # Prompt c has no partner of its length.
    assert {row["prompt_idx"] for row in patched} == {"0", "1"}
    for row in ablated:
        baseline, intervened = float(row["baseline_logit_diff"]), float(row["intervened_logit_diff"])
        assert float(row["effect_size"]) == pytest.approx(baseline - intervened)
        assert float(row["relative_effect"]) == pytest.approx((baseline - intervened) / abs(baseline))
        assert json.loads(row["features_intervened"])
    summary = json.loads((folder / "intervention_ablation_games_summary.json").read_text())
    assert summary["prompts"] == 3
    circuit = [entry for entry in summary["effects"] if entry["kind"] == "circuit"]
    assert [entry["prompts"] for entry in circuit] == [3, 3]
    assert {entry["id"] for entry in summary["predicted_and_measured"]} == {"a", "b", "c"}
    assert len(list(folder.glob("feature_importance_layer_*.csv"))) == 3


def test_the_second_run_computes_nothing_of_the_sweep(runs, place):
    assert "3 finished" in runs[1]["err"]
    assert pq.read_table(place / "swept" / "interventions.parquet").num_rows == 3


def test_features_by_name_and_what_is_written_under_them(runs, place):
    found = rows(place / "one" / "prompt" / "intervention_ablation_prompt.csv")
    assert [(row["layer"], row["features_intervened"], row["relative_effect"]) for row in found] == [
        ("1", "[5]", ""), ("2", "[3]", ""),
    ]  # fmt: skip
    lines = [json.loads(line) for line in (place / "one" / "generations.jsonl").read_text().splitlines()]
    assert [(line["operation"], line.get("value")) for line in lines] == [("none", None), ("set", 1.5), ("set", 4.0)]


@pytest.mark.usefixtures("runs")
def test_refusals(drive, base, place):
    many = ["--prompts", place / "games.jsonl"]
    cases = [
        ([*ONE, "--edits", "1:2"], "got '1:2'; needs layer:"), ([*ONE, "--edits", "1:99:5"], "position 99"),
        ([*ONE, "--edits", "9:0:5"], "--edits: got 9; needs a whole number from -3"),
        (ONE, "got none"), (ONE[:2], "both answers"),
        ([*ONE, "--edits", "1:0:5", "--operation", "zap"], "zap"), ([*ONE, "--graphs", place], "graphs.parquet"),
        ([*ONE, "--edits", "1:0:5", "--operation", "patch"], "partner"),
        ([*ONE, "--edits", "1:0:5", "--operation", "set:nan"], "--operation: got 'set:nan'"),
        ([*ONE, "--edits", "1:verb:5"], "prompt prompt has no role 'verb'; its roles: none"),
        ([*ONE, "--edits", "1:0:5=1.2.3", "--operation", "set"], "got '1:0:5=1.2.3'"),
        ([*ONE, "--edits", "1:0:5", "--importance"], "--importance: without effect on one prompt"),
        ([*ONE, "--edits", "1:0:5", "--held_out", "0.5"], "--held_out: without effect on one prompt"),
        ([*ONE, "--edits", "1:0:5", "--seed", "3", "--reading", "last"], "--reading: without effect without --impo"),
        ([*many, "--edits", "1:0:5", "--held_out", "0.5"], "--held_out: without effect with --edits"),
        ([*many, "--graphs", place / "graphs", "--held_out", "1.5"], "held_out: got 1.5"),
        ([*many, "--graphs", place / "graphs", "--generate", "--max_new_tokens", "2"], "generate: no features by name"),
        ([*many, "--graphs", place / "graphs", "--layers", "1,2"], "made with other transcoders"),
    ]  # fmt: skip
    done = drive("intervene", *([*base, *given, "--workdir", place / "refused"] for given, _ in cases))
    for run, (_, what) in zip(done, cases, strict=True):
        assert run["status"] == 2
        assert what in run["err"]
        assert run["err"].count("\n") == 1
    assert not (place / "refused").exists()
