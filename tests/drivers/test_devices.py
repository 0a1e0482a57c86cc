"""Every driver that computes writes the same bytes on one device and on several, by shard_map and by pmap.

A table of small commands on the bundled model, each run on one, four and three of four forced CPU devices. Rows that do
not divide are in all of them. What is compared is every file with data; times, hosts and the log are a run's own.
"""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorstore as ts

from tests.drivers.conftest import RUNS
from tests.forked import ENVIRONMENT

FORCED = ENVIRONMENT["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"
SPREADS = {
    "one": ["--devices=1"], "shard_map": ["--devices=4"], "pmap": ["--devices=4", "--parallel=pmap"],
    "three": ["--mesh=data:3"],
}  # fmt: skip
GAMES = [f"game: loss ${loss}. balance ${balance}. round 2. choice:" for loss in (5, 20, 50) for balance in (100, 140)]
SUMS = [(a, b) for a in (14, 23, 44, 51, 62, 75) for b in (12, 25, 31, 95)]
# Files that tell of a run, and what in the others does: dates, places and the figures of the machine.
TOLD = {"events.jsonl", "out.txt", "causeway.sha256"}
OWN = {"environment", "out", "workdir", "devices", "mesh", "parallel"}
SWEPT = ["--prompts={place}/games.jsonl", "--features={place}/features.jsonl", "--answers={place}/answers.json"]
RECORDED = ["--trials=2", "--max_new_tokens=3", "--batch_rows=4", "--record_features=top:2", "--record_logits=2"]
CASES = {
    "evaluate": ["--prompts={place}/sums.jsonl", "--generate", "--max_new_tokens=3", "--out={out}"],
    "screen": ["--states=10", "--batch_rows=2", "--out={out}"],
    "features": ["--prompts={place}/games.jsonl", "--positions=last_3", "--full", "--batch_rows=2", "--out={out}"],
    "patch_sweep exact": [*SWEPT, "--batch_rows=2", "--workdir={out}"],
    "patch_sweep sampled": [*SWEPT, "--outcome=sampled", *RECORDED, "--workdir={out}"],
    "attribute": ["--prompts={place}/two.jsonl", "--max_feature_nodes=20", "--heads=2", "--batch_rows=8",
                  "--graph_format=parquet", "--workdir={out}"],
    "intervene": ["--prompt=14+12=", "--correct=26.", "--incorrect=25.", "--edits=1:-1:5,2:-1:7,1:0:3,0:1:9,2:0:4",
                  "--operation=zero", "--batch_rows=2", "--generate", "--max_new_tokens=2", "--workdir={out}"],
    "represent": ["--prompts={place}/sums.jsonl", "--generate", "--max_new_tokens=2", "--record_logits=3", "--full",
                  "--out={out}"],
    "rank": ["--prompts={place}/sums.jsonl", "--keep_layers=2", "--keep=4", "--out={out}"],
    "second_order": ["--prompts={place}/sums.jsonl", "--heads=2", "--orders=2", "--workdir={out}"],
    "components": ["--prompts={place}/sums.jsonl", "--neurons=1:3,1:40,2:7", "--position=answers", "--largest=2",
                   "--workdir={out}"],
    "decompose": ["--components={place}/components", "--atoms=2", "--null_draws=2", "--lexicon={place}/words.txt",
                  "--word_vectors=definitions", "--definition=WORD:", "--out={out}"],
    "ablate": ["--prompts={place}/sums.jsonl", "--components={place}/components", "--workdir={out}/work",
               "--out={out}"],
    "polysemanticity": ["--prompts={place}/sums.jsonl", "--components={place}/components", "--out={out}"],
    "edit": ["--prompts={place}/sums.jsonl", "--neurons=2:210,1:152", "--factors=0.5,2", "--unrelated_data=tasks",
             "--text_rows=6", "--length=16", "--out={out}"],
    "errors": ["--prompts={place}/read/metadata.jsonl", "--labels=margin", "--layers=2", "--keep=3", "--out={out}"],
    "adversarial": ["--prompts={place}/sums.jsonl", "--words=Turkey,Ireland,here,in", "--keep=1", "--out={out}"],
    "pathways": ["--prompts={place}/games.jsonl", "--features={place}/features.jsonl", "--top=3", "--random_pairs=1",
                 "--candidates=3", "--workdir={out}"],
    "replay": [*SWEPT[:2], "--arms=baseline,noop,patch", *RECORDED, "--workdir={out}"],
}  # fmt: skip


@pytest.fixture(scope="module")
def spread(forked):
    """`spread(driver, *runs)`: each run's status and error, in one process with four devices."""

    def spread(driver, *runs):
        done = forked.run(RUNS, driver, given=json.dumps(runs), XLA_FLAGS=FORCED)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return spread


@pytest.fixture(scope="module")
def place(tmp_path_factory, spread):
    """Files that the commands read."""
    folder = tmp_path_factory.mktemp("devices")
    sums = [
        {"prompt": f"{a}+{b}=", "correct_answer": f"{a + b}.", "incorrect_answer": f"{a + b - 1}.", "id": f"{a}+{b}",
         "final_answer": f"{a + b}", "behaviour": "sums", "split": ("train", "test")[b > 25]} for a, b in SUMS
    ]  # fmt: skip
    games = [{"text": text, "id": f"{n}", "group": ("safe", "risky")[n % 2]} for n, text in enumerate(GAMES)]
    pairs = [(3, 81), (2, 121), (2, 7), (0, 11), (1, 30)]
    features = [{"layer": at, "feature": f, "value_safe": 0.5, "value_risky": 3.0 + at} for at, f in pairs]
    for name, records in {"sums": sums, "two": sums[:2], "games": games, "features": features}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "words.txt").write_text("win\ntheorem\nriver\ngood\nhouse\n")
    answers = [{"text": " stop", "label": "stop"}, {"text": " bet $5", "label": "bet", "amount": 5}]
    (folder / "answers.json").write_text(json.dumps(answers))
    for driver, out in {"components": "components", "represent": "read"}.items():
        (made,) = spread(driver, [flag.format(place=folder, out=folder / out) for flag in CASES[driver]])
        assert made["status"] == 0, made["err"]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_number_of_devices_changes_no_byte(name, place, spread, tmp_path):
    driver = name.split()[0]
    runs = [
        [*(flag.format(place=place, out=tmp_path / how) for flag in CASES[name]), *flags]
        for how, flags in SPREADS.items()
    ]
    for run in spread(driver, *runs):
        assert run["status"] == 0, run["err"]
    first, *others = (contents(tmp_path / how) for how in SPREADS)
    assert first
    for how, other in zip(list(SPREADS)[1:], others, strict=True):
        assert other.keys() == first.keys()
        assert not [file for file in first if first[file] != other[file]], how


def contents(folder):
    """The data of every file: bytes, and of JSON what is not the run's own."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in TOLD or (path.parent.name == "units" and path.suffix == ".json"):
            continue
        name = re.sub(r"generated-\w+", "generated", str(path.relative_to(folder)))
        found[name] = json.dumps(_data(json.loads(path.read_text()))) if path.suffix == ".json" else path.read_bytes()
    return found


def _data(value):
    if isinstance(value, dict):
        return {key: _data(one) for key, one in value.items() if key not in OWN}
    return [_data(one) for one in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_a_split_model_is_another_plan_and_gives_the_same_numbers_but_for_rounding(place, spread, tmp_path):
    sampled = [*SWEPT, "--outcome=sampled", *RECORDED, "--trials=1", "--temperature=0", "--workdir={out}"]
    one, split = ([flag.format(place=place, out=tmp_path / how) for flag in sampled] for how in ("one", "split"))
    mesh = "--mesh=data:2,model:2"
    wrong = {
        "--mesh=model:4": "mesh: model:4 does not divide the 2 kv_heads of attention.qkv; sizes that do: 1, 2",
        "--mesh=data:3,model:2": "mesh: data:3,model:2 takes 6 devices; this process has 4",
        "--mesh=rows:2": "mesh: got 'rows:2'; needs axes data and model with their sizes, as data:2,model:2",
        "--devices=3": "mesh: data:2,model:2 takes 4 devices, but --devices=3; give one",
        "--parallel=pmap": "parallel: got pmap with model:2; pmap splits no weights, use shard_map",
    }
    whole, other, resumed, *refused = spread(
        "patch_sweep", [*one, "--devices=1"], [*split, mesh], [*one, mesh], *([*split, mesh, flag] for flag in wrong)
    )
    assert [whole["status"], other["status"], resumed["status"]] == [0, 0, 2], other["err"]
    assert "numerics" in resumed["err"]
    for run, message in zip(refused, wrong.values(), strict=True):
        assert (run["status"], run["err"].count("\n")) == (2, 1)
        assert message in run["err"]
    tables = [pq.read_table(tmp_path / how / "trials.parquet") for how in ("one", "split")]
    for name in ("prompt_id", "layer", "feature", "arm", "response"):
        assert tables[0][name].equals(tables[1][name]), name
    arrays = [_recorded(tmp_path / how / "activations.zarr" / "values") for how in ("one", "split")]
    np.testing.assert_allclose(arrays[1], arrays[0], rtol=1e-4, atol=1e-4 * np.abs(arrays[0]).max())


def _recorded(folder):
    opened = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}).result()
    return np.asarray(opened.read().result())
