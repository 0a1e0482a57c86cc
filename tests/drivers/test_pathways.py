"""`causeway pathways`: its files, how it goes on, and what it refuses."""

import json
import shutil

import networkx as nx
import pyarrow.parquet as pq
import pytest

from causeway.engine.sweep.fingerprint import file_sha256

FEATURES = [{"layer": 3, "feature": 81, "value_risky": 2.0}, {"layer": 2, "feature": 121, "value_risky": 9.0}]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pathways")
    games = [(loss, balance) for loss in (5, 10, 20, 50) for balance in range(100, 200, 20)]
    prompts = [
        {"text": f"game: loss ${loss}. balance ${balance}. round 2. 1) bet $5-$100 2) stop. choice:", "id": f"{n}"}
        for n, (loss, balance) in enumerate(games)
    ]
    _write(folder / "prompts.jsonl", prompts)
    _write(folder / "features.jsonl", FEATURES)
    return folder


def _write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _given(place, workdir, *more):
    return [
        f"--prompts={place / 'prompts.jsonl'}", f"--features={place / 'features.jsonl'}", "--top=4", "--random_pairs=1",
        "--candidates=4", f"--workdir={place / workdir}", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def runs(drive, place):
    return drive("pathways", _given(place, "out"), _given(place, "out"), _given(place, "out", "--tau=0.2"))


def test_all_files_are_written_and_the_page_tells_what_was_found(runs, place):
    first, again, _stricter = runs
    assert [run["status"] for run in runs] == [0, 0, 0], [run["err"] for run in runs]
    assert "validated: " in first["out"]
    assert "x predicted, rank correlation" in first["out"]
    assert first["out"] == again["out"]
    assert "0 units to compute" in again["err"]
    folder = place / "out"
    pairs = pq.read_table(folder / "pathways.parquet")
    needed = {"stratum", "gradient", "predicted", "effect", "low", "high", "p", "q", "prompts", "null_low", "null_high"}
    assert needed | {"exceeds_null", "validated", "original_p"} <= set(pairs.column_names)
    assert set(pairs["stratum"].to_pylist()) == {"selected", "random"}
    about = json.loads((folder / "pathways.json").read_text())
    assert about["prompts"] == {"choosing": 10, "estimating": 10}
    assert about["settings"]["rule"]["tau"] == 0.2
    assert about["inputs"]["features"]["files"] == {"features.jsonl": file_sha256(place / "features.jsonl")}
    assert "half of the prompts" not in first["out"]
    told = json.loads((folder / "validated_pathways.json").read_text())
    assert len(told) == about["counts"]["validated"] == pairs.filter(pairs["validated"]).num_rows
    graph = nx.read_graphml(folder / "pathways.graphml")
    assert graph.number_of_edges() == len(told)
    candidates = pq.read_table(folder / "candidates.parquet")
    assert {"prompt", "target_position", "source_position", "activation", "effect"} <= set(candidates.column_names)
    assert candidates.num_rows >= about["candidates"] > 0
    chains = pq.read_table(folder / "chains.parquet")
    assert {"path", "length", "total", "mediated", "low", "high", "p", "q", "share"} <= set(chains.column_names)


@pytest.mark.slow
def test_one_feature_is_tried(drive, place):
    given = [f"--prompts={place / 'prompts.jsonl'}", f"--workdir={place / 'prototype'}"]
    (run,) = drive("pathways", [*given, "--prototype=L2-121"])
    assert run["status"] == 0, run["err"]
    assert "pass  memory" in run["out"]
    found = json.loads((place / "prototype" / "single_feature_test.json").read_text())
    assert found["passed"]
    assert {row["source_layer"] for row in found["upstream_candidates"]} == {0, 1}


@pytest.mark.slow
def test_a_plan_is_by_the_figures_of_a_study_and_writes_nothing(drive, place):
    given = _given(place, "planned", "--plan")
    small, large = drive("pathways", given, [*given, "--top=40"])
    assert [small["status"], large["status"]] == [0, 0], small["err"]
    figures = [dict(line.split(maxsplit=1) for line in run["out"].splitlines()[1:]) for run in (small, large)]
    assert figures[0]["basis"].split(";")[0] == "estimated from shapes"
    assert figures[0]["disk"] != figures[1]["disk"]
    assert not (place / "planned").exists()


@pytest.mark.slow
def test_where_few_prompts_measure_it_is_said_before_anything_runs(drive, place):
    lines = (place / "prompts.jsonl").read_text().splitlines(keepends=True)[:6]
    (place / "few.jsonl").write_text("".join(lines))
    given = [f"--prompts={place / 'few.jsonl'}", f"--features={place / 'features.jsonl'}", "--plan"]
    (run,) = drive("pathways", [*given, f"--workdir={place / 'few'}"])
    assert "half of the prompts measures; cannot tell: 3 prompts are too few" in run["out"]


@pytest.mark.slow
def test_a_test_of_another_feature_is_not_written_over_silently(drive, place):
    given = [f"--prompts={place / 'prompts.jsonl'}", f"--workdir={place / 'tested'}"]
    other = [*given, "--prototype=L3-81", f"--features={place / 'features.jsonl'}"]
    first, again, refused, replaced = drive(
        "pathways", [*given, "--prototype=L2-121"], [*given, "--prototype=L2-121"], other, [*other, "--overwrite"]
    )
    assert [run["status"] for run in (first, again, refused, replaced)] == [0, 0, 2, 0]
    assert "single_feature_test.json is there already, of L2-121; give another folder or --overwrite" in refused["err"]
    assert "left out" not in replaced["out"]
    assert json.loads((place / "tested" / "single_feature_test.json").read_text())["feature"] == "L3-81"


def test_what_cannot_be_is_refused_in_a_line(drive, place):
    _write(place / "lowest.jsonl", [{"layer": 0, "feature": 3}])
    _write(place / "missing.jsonl", [{"layer": 2, "feature": 4000}])
    _write(place / "empty.jsonl", [])
    (place / "broken.jsonl").write_text('{"layer": 2, "feature": 3}\n{"layer": \n')
    _write(place / "twice.jsonl", [{"text": "44+95=", "id": "a"}, {"text": "44+94=", "id": "a"}])
    given = [f"--prompts={place / 'prompts.jsonl'}", f"--workdir={place / 'new'}"]
    features = f"--features={place / 'features.jsonl'}"
    cases = {
        "--features: got nothing": given,
        "all of layer 0, the lowest with a dictionary": [*given, f"--features={place / 'lowest.jsonl'}"],
        "L2-4000 is none of the dictionaries'": [*given, f"--features={place / 'missing.jsonl'}"],
        "empty.jsonl": [*given, f"--features={place / 'empty.jsonl'}"],
        "broken.jsonl line 2": [*given, f"--features={place / 'broken.jsonl'}"],
        "'a' comes twice": [f"--prompts={place / 'twice.jsonl'}", features, f"--workdir={place / 'new'}"],
        "--set_to: got 'safe'; needs 0, or a group of the table's value_GROUP columns: risky": [
            *given, features, "--set_to=safe"
        ],
        "--random_draws: got 5; a band": [*given, features, "--random_draws=5"],
        "--prototype: got 'twelve'": [*given, "--prototype=twelve"],
        "--top: without effect with --prototype": [*given, "--prototype=L2-121", "--top=3"],
        "position: the prompt has no place 'user'": [*given, features, "--position=user.last"],
        "--least_effect: got 5; without effect with select_by=original": [
            *given, features, "--select_by=original", "--least_effect=5"
        ],
        "--per_layer: without effect of a table without d and q": [*given, features, "--per_layer=3"],
        "--plan: got measured; pathways is planned from shapes alone": [*given, features, "--plan=measured"],
        "--plan: without effect with --prototype": [*given, "--prototype=L2-121", "--plan"],
        "--overwrite: without effect without --prototype": [*given, features, "--overwrite"],
        "--alpha: got 1.5": [*given, features, "--alpha=1.5"],
    }  # fmt: skip
    runs = drive("pathways", *cases.values())
    for said, run in zip(cases, runs, strict=True):
        assert run["status"] == 2, (said, run)
        assert said in run["err"], (said, run["err"])
        assert run["err"].count("\n") == 1, run["err"]
    assert not (place / "new").exists()


def test_a_workdir_of_other_settings_is_left_as_it_is(runs, drive, place):
    before = _results(place / "out")
    other, more = drive("pathways", _given(place, "out", "--seed=3"), _given(place, "out", "--top=2"))
    for run in (other, more):
        assert run["status"] == 2
        assert "is of another plan" in run["err"]
        assert "use another --workdir" in run["err"]
    assert before == _results(place / "out")


def _results(folder):
    """All files but logs and locks."""
    return {path: path.read_bytes() for kind in ("parquet", "json", "graphml") for path in folder.rglob(f"*.{kind}")}


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(runs, drive, place):
    names = ("pathways.parquet", "chains.parquet", "candidates.parquet", "validated_pathways.json")
    first = {name: (place / "out" / name).read_bytes() for name in names}
    for phase in ("replay", "mediation"):
        shutil.rmtree(place / "out" / phase, ignore_errors=True)
    for name in (*names, "pathways.json"):
        (place / "out" / name).unlink()
    (again,) = drive("pathways", _given(place, "out", "--tau=0.2"))
    assert again["status"] == 0, again["err"]
    assert first == {name: (place / "out" / name).read_bytes() for name in names}
