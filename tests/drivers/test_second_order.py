"""`causeway second_order` on the bundled model: its tables, that it resumes, and its refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.engine.directions import Directions
from causeway.ports.results.direction_files import write_directions
from causeway.ports.results.neuron_files import read_neurons

SUMS = [(a, b) for a in (12, 25, 38, 41) for b in (13, 27, 36)]


@pytest.fixture(scope="module")
def runs(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("second_order")
    lines = [
        {"prompt": f"{a}+{b}=", "correct_answer": f"{a + b}.", "incorrect_answer": f"{a + b + 10}.", "id": f"{a}+{b}"}
        for a, b in SUMS
    ]
    (folder / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "bare.jsonl").write_text('{"prompt": "4+5="}\n')
    made = folder / "made"
    made.mkdir()
    write_directions(made, Directions(("x", "y"), np.random.default_rng(0).standard_normal((2, 128))))
    other = folder / "other"
    other.mkdir()
    write_directions(other, Directions(("x",), np.ones((1, 128)), fingerprint="123"))
    base = ["--model=bundled:tiny", f"--prompts={folder / 'sums.jsonl'}"]
    out = f"--workdir={folder / 'out'}"
    results = drive(
        "second_order",
        [*base, out, "--heads=3", "--orders=2"],
        [*base, out, "--heads=3", "--orders=2"],
        [*base, out, "--heads=3", "--orders=1"],
        [*base, f"--workdir={folder / 'given'}", f"--directions={made}", "--layers=0,-2", "--heads=0"],
        [*base, f"--workdir={folder / 'no'}", f"--directions={other}"],
        [base[0], f"--prompts={folder / 'bare.jsonl'}", f"--workdir={folder / 'no'}"],
        [*base, f"--workdir={folder / 'no'}", "--orders=9"],
        [*base, f"--workdir={folder / 'no'}", "--position=-2"],
        [*base, f"--workdir={folder / 'no'}", "--layers=7"],
        [*base, f"--workdir={folder / 'no'}", f"--directions={folder / 'sums.jsonl'}"],
    )
    return folder, results


def test_tables_of_neurons_heads_and_layers(runs):
    folder, (done, *_) = runs
    assert done["status"] == 0, done["err"]
    neurons = pq.read_table(folder / "out" / "neurons.parquet")
    assert len(neurons) == 4 * 256
    assert {"layer", "neuron", "direction", "effect", "low", "high", "p", "q", "direct", "order_2"} <= set(
        neurons.column_names
    )
    assert len(read_neurons(folder / "out").layer) == 4 * 256
    heads = pq.read_table(folder / "out" / "heads.parquet").to_pylist()
    for first in neurons.slice(0, 3).to_pylist():
        own = [row for row in heads if (row["layer"], row["neuron"]) == (first["layer"], first["neuron"])]
        assert sum(row["effect"] for row in own) == pytest.approx(first["effect"], abs=1e-5)
    layers = pq.read_table(folder / "out" / "layers.parquet").to_pylist()
    assert sum(row["share"] for row in layers if row["order"] == 1) == pytest.approx(1)
    told = json.loads((folder / "out" / "second_order.json").read_text())
    assert told["prompts"] == len(SUMS)
    assert "most through one head, in the mean" in done["out"]
    assert "most different from prompt to prompt" in done["out"]


def test_the_same_command_computes_nothing_and_another_is_refused(runs):
    _, (_, again, other, *_) = runs
    assert again["status"] == 0, again["err"]
    assert "1 finished" in again["err"]
    assert other["status"] == 2
    assert "is of another plan" in other["err"]


def test_given_directions_score_chosen_layers(runs):
    folder, results = runs
    assert results[3]["status"] == 0, results[3]["err"]
    neurons = pq.read_table(folder / "given" / "neurons.parquet")
    assert len(neurons) == 2 * 2 * 256
    assert set(neurons["layer"].to_pylist()) == {0, 2}
    assert len(read_neurons(folder / "given").layer) == 2 * 256
    assert not (folder / "given" / "heads.parquet").exists()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (4, "--directions: made on weights 123"),
        (5, "answers: got none; needs correct_answer and incorrect_answer"),
        (6, "--orders: got 9; needs 1 to 4, the layers of"),
        (7, "--position: without effect without --directions, where answers part; leave it out"),
        (8, "--layers: got 7"),
        (9, "--directions"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(runs, number, message):
    folder, results = runs
    found = results[number]
    assert found["status"] == 2
    assert message in found["err"]
    assert found["err"].count("\n") == 1
    assert not (folder / "no").exists()
