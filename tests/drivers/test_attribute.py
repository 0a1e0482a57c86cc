"""`causeway attribute`: one prompt, a behaviour's file, resumed and aggregated; and its refusals."""

import json
import re

import networkx as nx
import pyarrow.parquet as pq
import pytest

from causeway.ports.dictionaries.load import save_dictionary

LINES = [
    {"prompt": "you won. choice:", "correct_answer": " stop", "incorrect_answer": " bet", "id": "a",
     "roles": {"event": "won"}},
    {"prompt": "you lost. you won. choice:", "correct_answer": " bet", "incorrect_answer": " stop", "id": "b",
     "roles": {"event": 1}},
    {"prompt": "choice: bet", "correct_answer": " $5", "incorrect_answer": " $10"},
]  # fmt: skip
PLACED = [line | {"behaviour": "games", "split": "train"} for line in LINES]


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """Transcoders of all layers, a behaviour's file, and one with two bad lines."""
    folder = tmp_path_factory.mktemp("attribute")
    transcoders = tiny.make_dictionary("relu", layers=(0, 1, 2), stream="mlp_in", write_stream="mlp_out")
    save_dictionary(folder / "transcoders", transcoders)
    lines = [json.dumps(line) for line in PLACED]
    same = json.dumps(PLACED[0] | {"incorrect_answer": " stop bet", "id": "c"})
    (folder / "games.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "folder").mkdir()
    (folder / "folder" / "games_train.jsonl").write_text("\n".join(lines[:2]) + "\n")
    (folder / "folder" / "more_test.jsonl").write_text(json.dumps(LINES[0] | {"id": "d"}) + "\n")
    (folder / "bad.jsonl").write_text("\n".join([lines[0], "{", same, lines[2]]) + "\n")
    return folder


@pytest.fixture(scope="module")
def base(small, place):
    return ["--model", small / "model", "--dictionaries", place / "transcoders", "--batch_rows", "8"]


@pytest.fixture(scope="module")
def runs(drive, base, place):
    """One process for all runs that succeed."""
    many = ["--prompts", place / "games.jsonl", "--unit_prompts", "2"]
    extra = ["--as_published", "--heads", "3", "--graph_format", "neuronpedia,graphml,parquet"]
    return drive(
        "attribute",
        [*base, "--prompt", "you won.", "--workdir", place / "one", "--max_feature_nodes", "20", "--target", " stop"],
        [*base, "--prompt", "you won.", "--correct", " bet", "--incorrect", " stop", "--workdir", place / "pair"],
        [*base, *many, *extra, "--workdir", place / "many"],
        [*base, *many, "--graph_format", "none", "--max_nodes", "100", "--workdir", place / "many"],
        [*base, "--prompts", place / "bad.jsonl", "--skip_bad", "--graph_format=none", "--workdir", place / "skipped"],
        [*base, "--prompts", place / "folder", "--graph_format", "none", "--workdir", place / "of_folder"],
    )  # fmt: skip


def test_all_runs_end_well(runs):
    assert [run["status"] for run in runs] == [0] * 6, [run["err"] for run in runs if run["status"]]


def test_one_prompt(runs, place):
    scores = [json.loads(line) for line in (place / "one" / "scores.jsonl").read_text().splitlines()]
    assert (scores[0]["slug"], scores[0]["features"]) == ("prompt", 20)
    assert f"replacement {scores[0]['replacement']:.3f}" in runs[0]["out"]
    document = json.loads((place / "one" / "graphs" / "prompt.json").read_text())
    assert document["metadata"]["prompt_tokens"]
    assert sum(node["is_target_logit"] for node in document["nodes"]) == 1
    assert not (place / "skipped" / "graphs").exists()
    pair = json.loads((place / "pair" / "graphs" / "prompt.json").read_text())
    assert [node["clerp"] for node in pair["nodes"] if node["feature_type"] == "logit"] == ['Output " bet -  stop"']


def test_what_was_found_is_printed(runs):
    assert re.search(r"explains the next token: '.?stop' \(p 0", runs[0]["out"])
    assert "the 10 strongest of 20 features" in runs[0]["out"]
    assert "explains the logit difference ' bet -  stop'" in runs[1]["out"]
    assert "games train: mean effects over 3 prompts" in runs[2]["out"]
    assert "explains" not in runs[2]["out"]


def test_files_of_every_graph_agree(runs, place):
    graphs = place / "many" / "graphs"
    for slug in ("a", "b", "games-3"):
        document = json.loads((graphs / f"{slug}.json").read_text())
        read = nx.read_graphml(graphs / f"{slug}.graphml")
        assert {node["node_id"] for node in document["nodes"]} == set(read.nodes)
        assert len(document["links"]) == read.number_of_edges()
        weights = {(link["source"], link["target"]): link["weight"] for link in document["links"]}
        splits = json.loads((graphs / f"{slug}_heads.json").read_text())
        assert len(splits) == 3
        for split in splits:
            assert split["edge"] == pytest.approx(weights[split["source"], split["target"]], rel=1e-4)
        assert sum(pq.read_table(graphs / slug / "edges.parquet")["kept"].to_pylist()) == len(weights)


def test_the_aggregate_counts_zeros(runs, place):
    folder = place / "many" / "games"
    document = json.loads((folder / "attribution_graph_train.json").read_text())
    nodes = {node["id"]: node for node in document["nodes"]}
    assert len(nodes) == 101
    assert document["metadata"]["prompts"] == 3
    assert {node["place"] for node in document["nodes"] if node["type"] != "output"} >= {"event", "-1"}
    assert {round(3 * node["frequency"]) for node in nodes.values() if "frequency" in node} <= {1, 2, 3}
    into = {edge["source"]: edge["weight"] for edge in document["edges"] if edge["target"] == "output"}
    for source, weight in into.items():
        assert nodes[source]["attribution"] == pytest.approx(weight)
    read = nx.read_graphml(folder / "attribution_graph_train.graphml")
    assert set(read.nodes) == set(nodes)
    published = json.loads((folder / "as_published_attribution_graph_train.json").read_text())
    assert {node["type"] for node in published["nodes"]} == {"input", "feature", "output"}
    assert all(edge["weight"] >= 0 for edge in published["edges"])


def test_the_same_command_computes_nothing_again(runs):
    assert "0 units to compute, 2 finished" in runs[3]["err"]
    assert "pullback" not in " ".join(runs[3]["compiled"])


def test_bad_lines_are_told_and_left_out(runs, place):
    assert "bad.jsonl line 2: not JSON" in runs[4]["err"]
    assert "bad.jsonl line 3: answers" in runs[4]["err"]
    scores = (place / "skipped" / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in scores] == ["a", "bad-4"]


def test_a_folder_is_all_its_files(runs, place):
    lines = (place / "of_folder" / "scores.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [(one["id"], one["behaviour"]) for one in found] == [("a", "games"), ("b", "games"), ("d", "more_test")]


def test_refusals(drive, base, place, tmp_path):
    work, one = ["--workdir", tmp_path / "w"], ["--prompt", "you won."]
    cases = [
        ([*base, *one], "--workdir: got nothing"),
        ([*base, *work], "--prompt, --prompts: needs one of them"),
        ([*base, *work, "--prompt="], "--prompt: is empty; needs a text"),
        (["--model=nowhere", *work, *one], "--dictionaries: got nothing; needs the transcoders"),
        ([*base, *work, *one, "--correct", " bet"], "--correct, --incorrect: got one of them"),
        ([*base, *work, *one, "--correct", " bet", "--incorrect", " bet"], "never diverge"),
        ([*base, *work, *one, "--target", "id:4000"], "token 4000 is outside the vocabulary"),
        ([*base, *work, *one, "--target", " stop bet"], "is 2 tokens"),
        ([*base, *work, *one, "--max_feature_nodes", "0"], "max_feature_nodes"),
        ([*base, *work, *one, "--node_threshold", "0"], "--node_threshold: got 0.0"),
        ([*base, *work, *one, "--graph_format", "gexf"], "--graph_format: got 'gexf'"),
        ([*base, *work, *one, "--as_published"], "--as_published: is an aggregate"),
        ([*base, *work, *one, "--held_out", "1", "--seed", "2"], "--held_out, --seed: without effect on one prompt; "),
        ([*base, *work, *one, "--held_out", "0", "--target", "id:4", "--max_logits", "3"], "--max_logits: without eff"),
        ([*base, *work, "--prompt", "you", "--bos", "no"], "1 token"),
        ([*base, *work, "--prompts", place / "bad.jsonl"], "bad.jsonl line 2: not JSON"),
        ([*base, *work, "--prompts", place / "units.jsonl"], "a behaviour is named 'units', as what the run itself"),
        ([*base, *work, *one, "--layers", "0,2"], "none for layers [1]"),
        ([*base, *work, *one, "--config", place / "config.py"], "names 'budget', which is no flag"),
    ]
    (place / "units.jsonl").write_text((place / "games.jsonl").read_text().replace('"behaviour": "games", ', ""))
    (place / "config.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'attribute': {'budget': 1}})\n"
    )
    for (arguments, message), run in zip(cases, drive("attribute", *(case[0] for case in cases)), strict=True):
        assert (run["status"], run["out"]) == (2, ""), arguments
        assert message in run["err"], run["err"]
        assert run["err"].count("\n") == 1
    assert not (tmp_path / "w" / "plan.json").exists()
