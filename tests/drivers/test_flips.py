"""One byte changed in what a finished command left: whoever reads it again says so, or comes to the same results.

The same command is run again, without --repair, on copies of a finished workdir that differ from it in one bit; and
commands are run on changed outputs of others. Slow, as every run is a process that loads a model; the same properties
of the store alone are in tests/engine/sweep/test_flips.py.
"""

import json
import random
import shutil
from pathlib import Path

import pytest

from causeway.ports.dictionaries.load import save_dictionary

LINES = [
    {"prompt": "you won. choice:", "correct_answer": " stop", "incorrect_answer": " bet", "id": "a"},
    {"prompt": "you lost. choice:", "correct_answer": " bet", "incorrect_answer": " stop", "id": "b"},
    {"prompt": "you lost $5. choice:", "correct_answer": " bet", "incorrect_answer": " stop", "id": "c d"},
]  # fmt: skip
ANSWERS = json.dumps([{"text": " stop", "label": "stop"}, {"text": " bet", "label": "bet"}])
# Logs that nobody reads, and names of the moment.
UNREAD = ("events.jsonl", ".lock")
FLIPS = 50

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tiny, small, tmp_path_factory):
    """Inputs: labelled prompts, features, transcoders of all layers and a behaviour's prompts."""
    folder = tmp_path_factory.mktemp("flips")
    transcoders = tiny.make_dictionary("relu", layers=(0, 1, 2), stream="mlp_in", write_stream="mlp_out")
    save_dictionary(folder / "transcoders", transcoders)
    texts = ("you won $5. choice:", "you lost. choice:", "you lost. you won $5. choice:", "choice:")
    records = [{"text": texts[i % 4], "group": ("safe", "risky")[i // 4]} for i in range(8)]
    features = [{"layer": n, "feature": f, "value_safe": 0.5, "value_risky": 3.0} for n, f in ((0, 3), (2, 7))]
    for name, lines in (("labelled", records), ("features", features), ("games", LINES)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def commands(small, place):
    """Each sweep's driver and flags, all but its workdir."""
    saes = [f"--model={small / 'model'}", f"--dictionaries={small / 'saes'}"]
    circuits = [f"--model={small / 'model'}", f"--dictionaries={place / 'transcoders'}"]
    patch = [*saes, f"--prompts={place / 'labelled.jsonl'}", f"--features={place / 'features.jsonl'}",
             f"--answers={ANSWERS}", "--batch_rows=8", "--unit_buckets=1"]  # fmt: skip
    sampled = ["--outcome=sampled", "--trials=2", "--max_new_tokens=2", "--record_features=top:2", "--record_logits=1"]
    games = f"--prompts={place / 'games.jsonl'}"
    return {
        "exact": ("patch_sweep", [*patch, "--arms=baseline,patch,random"]),
        "sampled": ("patch_sweep", [*patch, *sampled, "--arms=baseline,patch"]),
        "attribute": ("attribute", [*circuits, games, "--unit_prompts=2", "--batch_rows=8",
                                    "--graph_format=neuronpedia,graphml,parquet"]),
        "intervene": ("intervene", [*circuits, games, f"--graphs={place / 'attribute'}", "--max_features=4",
                                    "--kinds=single,circuit"]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(drive, place, commands):
    """Every sweep once, and what it printed."""
    printed = {}
    for name, (driver, given) in commands.items():
        (run,) = drive(driver, [*given, f"--workdir={place / name}"])
        assert run["status"] == 0, run["err"]
        printed[name] = run["out"].replace(str(place / name), "")
    return printed


def contents(workdir):
    return {
        path.relative_to(workdir).as_posix(): path.read_bytes()
        for path in sorted(workdir.rglob("*"))
        if path.is_file() and path.name not in UNREAD
    }


def flipped(workdir, copy, seed, only=""):
    """A copy with one bit changed, in a file whose kind is drawn first; the file's name."""
    shutil.copytree(workdir, copy)
    draw, kinds = random.Random(seed), {}
    for name in contents(copy):
        if only in name:
            kinds.setdefault((name.count("/"), Path(name).suffix), []).append(name)
    name = draw.choice(kinds[draw.choice(sorted(kinds))])
    data = bytearray((copy / name).read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    (copy / name).write_bytes(data)
    return name


@pytest.mark.parametrize("name", ["exact", "sampled", "attribute", "intervene"])
def test_the_same_command_notices_a_changed_byte_or_gives_the_same_results(
    drive, place, commands, finished, tmp_path, name
):
    before, (driver, given) = contents(place / name), commands[name]
    copies = [tmp_path / str(seed) for seed in range(FLIPS)]
    names = [flipped(place / name, copy, seed) for copy, seed in zip(copies, range(FLIPS), strict=True)]
    runs = drive(driver, *([*given, f"--workdir={copy}"] for copy in copies))
    for copy, changed, run in zip(copies, names, runs, strict=True):
        if run["status"]:
            assert run["status"] == 2
            assert run["err"].splitlines()[-1].startswith(f"causeway {driver}: ")
            assert Path(changed).name in run["err"]
            continue
        assert run["out"].replace(str(copy), "") == finished[name], changed
        after = contents(copy)
        assert {n: d for n, d in after.items() if n != changed} == {n: d for n, d in before.items() if n != changed}


@pytest.mark.usefixtures("finished")
def test_graphs_with_a_changed_byte_are_not_intervened_on(drive, place, commands, tmp_path):
    """Every byte of the table, the plan and the manifest is one that decides something."""
    _, given = commands["intervene"]
    copies = [tmp_path / str(seed) for seed in range(FLIPS)]
    names = [
        flipped(place / "attribute", copy, seed, only=("graphs.parquet", "graphs.json", "plan.json")[seed % 3])
        for seed, copy in zip(range(FLIPS), copies, strict=True)
    ]
    runs = drive("intervene", *([*given, f"--graphs={copy}", f"--workdir={copy / 'interventions'}"] for copy in copies))
    for copy, changed, run in zip(copies, names, runs, strict=True):
        if run["status"] == 0:
            assert contents(copy / "interventions")["interventions.parquet"] == (
                (place / "intervene" / "interventions.parquet").read_bytes()
            )
            assert json.loads((copy / changed).read_bytes()) == json.loads((place / "attribute" / changed).read_bytes())
            continue
        assert run["status"] == 2
        assert changed in run["err"]
        assert "--repair" in run["err"]
        assert run["err"].count("\n") == 1
        assert not (copy / "interventions").exists()


@pytest.fixture(scope="module")
def outputs(drive, place, small):
    """What commands that are no sweeps leave for others: a screen, and prompts."""
    screen = [f"--model={small / 'model'}", f"--dictionaries={small / 'saes'}", f"--prompts={place / 'labelled.jsonl'}"]
    prompts = ["--behaviours=own", f"--source={place / 'games.jsonl'}", "--train=2", "--test=1", "--name=games"]
    done = drive("screen", [*screen, f"--out={place / 'screen'}"]) + drive(
        "prompts", [*prompts, f"--out={place / 'p'}"]
    )
    assert [run["status"] for run in done] == [0, 0], [run["err"] for run in done]
    return place


def reading(small, place, folder):
    """Commands that read a screen and prompts of that folder."""
    saes = [f"--model={small / 'model'}", f"--dictionaries={small / 'saes'}"]
    screen, test, out = folder / "screen", folder / "p" / "games_test.jsonl", folder / "read"
    return {
        "screen.parquet": ("patch_sweep", [
            *saes, f"--features={screen / 'screen.parquet'}", f"--prompts={place / 'labelled.jsonl'}",
            f"--answers={ANSWERS}", "--per_layer=2", f"--workdir={out}",
        ]),
        "screen/prompts.jsonl": ("patch_sweep", [
            *saes, f"--features={place / 'features.jsonl'}", f"--prompts={screen / 'prompts.jsonl'}",
            f"--answers={ANSWERS}", f"--workdir={out}",
        ]),
        "prompts.jsonl": ("screen", [*saes, f"--prompts={screen / 'prompts.jsonl'}", f"--out={out}"]),
        "games_train.jsonl": ("evaluate", [saes[0], f"--prompts={folder / 'p'}", f"--out={out}"]),
        "p/games_train.jsonl": ("features", [*saes, f"--prompts={folder / 'p'}", f"--out={out}"]),
        "games_test.jsonl": ("attribute", [*saes, f"--prompts={test}", f"--workdir={out}"]),
        "p/games_test.jsonl": ("intervene", [
            *saes, f"--prompts={test}", "--edits=0:0:0", f"--workdir={out}",
        ]),
        "/games_train.jsonl": ("prompts", [
            "--behaviours=own", f"--source={folder / 'p' / 'games_train.jsonl'}", "--train=1", "--test=0",
            f"--out={out}",
        ]),
    }  # fmt: skip


READ = ["screen.parquet", "screen/prompts.jsonl", "prompts.jsonl", "games_train.jsonl", "p/games_train.jsonl",
        "games_test.jsonl", "p/games_test.jsonl", "/games_train.jsonl"]  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_what_another_command_left_is_read_only_as_it_was_left(drive, small, outputs, tmp_path, name):
    """Every byte counts, before anything is computed; three of them each."""
    runs, changed = [], Path(name).name
    for seed in range(3):
        folder = tmp_path / str(seed)
        shutil.copytree(outputs / "screen", folder / "screen")
        shutil.copytree(outputs / "p", folder / "p")
        (path,) = folder.glob(f"*/{changed}")
        data, draw = bytearray(path.read_bytes()), random.Random(seed)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        driver, given = reading(small, outputs, folder)[name]
        runs.append(given)
    for run in drive(driver, *runs):
        assert run["status"] == 2, (name, run["out"])
        assert f"{changed}: not the file that was written here" in run["err"]
        assert "if you edited it, delete its line there or copy it elsewhere" in run["err"]
        assert run["err"].count("\n") == 1
    assert not list(tmp_path.glob("*/read"))
