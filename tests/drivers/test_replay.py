"""`causeway replay` from files to pathways: rollouts or a finished sweep, resumed, and refused in one line."""

import json
import re

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

HEAVY = {"decode_segment", "prefill", "feed_segment"}
FILES = {"replay_pathways.parquet", "replay_sources.parquet", "first_difference.parquet", "replay_logits.parquet",
         "replay.json"}  # fmt: skip


def heavy(run):
    """What a run compiled to run the model."""
    return [program for program in run["compiled"] if any(name in program for name in HEAVY)]


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def place(small, tmp_path_factory):
    """Prompts without answers, features and targets, for the small model."""
    folder = tmp_path_factory.mktemp("files")
    texts = ("you won $5. choice:", "you lost. choice:", "you lost. you won $5. choice:")
    write(folder / "prompts.jsonl", *({"text": texts[i % 3], "group": ("safe", "risky")[i % 2]} for i in range(6)))
    pairs = [(0, 3), (2, 7), (0, 11)]
    rows = ({"layer": n, "feature": f, "value_safe": 0.5, "value_risky": 3.0 + i} for i, (n, f) in enumerate(pairs))
    write(folder / "features.jsonl", *rows)
    write(folder / "targets.jsonl", {"layer": 2, "feature": 4}, {"layer": 0, "feature": 3})
    write(folder / "broken.jsonl", {"layer": 0.5, "feature": 3})
    write(folder / "none.jsonl", {"layer": 2, "feature": 99})
    write(folder / "layer.jsonl", {"layer": 1, "feature": 3})
    (folder / "empty.jsonl").write_text("")
    return folder


@pytest.fixture(scope="module")
def given(place, small):
    """Flags of a replay; the last of a name wins."""

    def given(*more):
        models = [f"--model={small / 'model'}", f"--dictionaries={small / 'saes'}"]
        files = [f"--{name}={place / f'{name}.jsonl'}" for name in ("prompts", "features")]
        shapes = ["--trials=2", "--max_new_tokens=3", "--batch_rows=8", "--record_logits=3"]
        return [*models, *files, "--arms=baseline,noop,patch", *shapes, *more]

    return given


REFUSALS = {
    "no workdir": (("--workdir=",), "--workdir: got nothing"),
    "no prompts": (("--prompts=",), "--prompts: got nothing; needs files of prompts.* or --sweep"),
    "no features": (("--features=",), "--features: got nothing"),
    "no edit": (("--arms=baseline,noop",), "--arms: got baseline, noop, which set no feature"),
    "no clean arm": (("--arms=noop,patch",), "--arms: got .*; needs baseline too"),
    "unknown arm": (("--arms=baseline,pacth",), "--arms: got 'pacth'"),
    "nothing recorded": (("--record_features=",), "--record_features: got nothing"),
    "broken target": (("--targets={place}/broken.jsonl",), "broken.jsonl line 1: layer: got 0.5"),
    "target of no dictionary": (("--targets={place}/none.jsonl",), "--targets: id 99 is outside"),
    "target of no layer": (("--targets={place}/layer.jsonl",), "--targets: .*layer"),
    "target not recorded": (
        ("--targets={place}/targets.jsonl", "--record_features={place}/features.jsonl"),
        "--targets: layer 2 feature 4 is not recorded",
    ),
    "no target": (("--targets={place}/empty.jsonl",), "--targets: .*empty"),
    "missing targets": (("--targets={place}/nowhere.jsonl",), "nowhere.jsonl: no such file"),
    "draws without controls": (("--arms=baseline,patch", "--random_draws=3"), "--random_draws: without effect"),
    "too few draws": (
        ("--arms=baseline,patch,random", "--random_draws=18"),
        "--random_draws: got 18; a band that 0.05 of random features leave takes 19 for each source and value",
    ),
    "alpha": (("--alpha=2",), "--alpha: got 2.0"),
    "one disk limit": (("--disk_limits=0.8",), "--disk_limits: got 1 numbers"),
    "greedy": (("--temperature=0",), "--trials: got 2 with greedy sampling"),
    "no sweep": (("--sweep={place}/nowhere", "--model=bundled:tiny"), "--sweep, which is read as it is"),
}  # fmt: skip


@pytest.fixture(scope="module")
def session(place, given, drive, tmp_path_factory):
    """Runs of one process by name."""
    tmp = tmp_path_factory.mktemp("runs")
    runs = {
        "first": given(f"--workdir={tmp / 'first'}"),
        "again": given(f"--workdir={tmp / 'first'}", "--correction=by"),
        "another plan": given(f"--workdir={tmp / 'first'}", "--scope=decode"),
        "targets": given(f"--workdir={tmp / 'targets'}", f"--targets={place / 'targets.jsonl'}", "--noteacher_forced"),
        "plan": given(f"--workdir={tmp / 'planned'}", "--plan"),
        "controls": given(
            f"--workdir={tmp / 'controls'}",
            "--arms=baseline,patch,random",
            "--limit_features=1",
            "--trials=1",
            "--batch_rows=64",
            "--noteacher_forced",
        ),
        "read": [f"--sweep={tmp / 'first' / 'free'}", f"--workdir={tmp / 'read'}"],
        "another sweep": [f"--sweep={tmp / 'targets' / 'free'}", f"--workdir={tmp / 'read'}"],
        "rollouts there": [f"--sweep={tmp / 'targets' / 'free'}", f"--workdir={tmp / 'first'}"],
        "read there": given(f"--workdir={tmp / 'read'}", "--scope=decode"),
        "missing sweep": [f"--sweep={tmp / 'nowhere'}", f"--workdir={tmp / 'read'}"],
        "replay is no sweep": [f"--sweep={tmp / 'first' / 'teacher_forced'}", f"--workdir={tmp / 'other'}"],
    }
    runs |= {
        name: given(f"--workdir={tmp / 'refused'}", *(flag.format(place=place) for flag in wrong))
        for name, (wrong, _) in REFUSALS.items()
    }
    return tmp, dict(zip(runs, drive("replay", *runs.values()), strict=True))


def test_a_replay_writes_its_tables_and_tells_what_it_found(session):
    tmp, done = session
    assert (done["first"]["status"], done["first"]["err"].count("Traceback")) == (0, 0)
    assert {path.name for path in (tmp / "first").iterdir()} >= FILES | {"free", "teacher_forced"}
    assert "downstream, teacher_forced, last_prompt, against baseline" in done["first"]["out"]
    assert "cannot be was measured" not in done["first"]["out"]
    assert done["first"]["out"].count("each half of the prompts: cannot tell: 3 prompts are too few") == 1
    summary = json.loads((tmp / "first" / "replay.json").read_text())
    assert summary["prompts"] == {"risky": 3, "safe": 3}
    assert summary["largest_change_that_cannot_be"] == 0
    assert list(summary["inputs"]) == ["features"]
    table = pq.read_table(tmp / "first" / "replay_pathways.parquet")
    assert set(table["measure"].cast("string").to_pylist()) == {"free", "teacher_forced"}


def test_the_same_command_computes_nothing_again(session):
    _, done = session
    assert done["again"]["status"] == 0
    assert not heavy(done["again"])


def test_another_plan_is_refused(session):
    _, done = session
    assert done["another plan"]["status"] == 2
    assert "is of another plan: " in done["another plan"]["err"]


def test_targets_may_be_others_than_what_is_set(session):
    tmp, done = session
    assert done["targets"]["status"] == 0
    table = pq.read_table(tmp / "targets" / "replay_pathways.parquet")
    assert set(zip(*(table[f"target_{n}"].to_pylist() for n in ("layer", "feature")), strict=True)) == {(2, 4), (0, 3)}
    assert table["measure"].cast("string").unique().to_pylist() == ["free"]


def test_a_plan_runs_nothing(session):
    tmp, done = session
    assert done["plan"]["status"] == 0
    assert re.findall(r"^(\w+): plan", done["plan"]["out"], re.MULTILINE) == ["patch_sweep", "teacher_forced"]
    assert not (tmp / "planned").exists()


def test_a_finished_sweep_is_read_without_its_model(session):
    """The free run is a store of `patch_sweep`, and gives what it gave."""
    tmp, done = session
    assert done["read"]["status"] == 0
    assert not done["read"]["compiled"]
    own, read = (pq.read_table(tmp / name / "replay_pathways.parquet") for name in ("first", "read"))
    free = own.filter(pc.equal(own["measure"].cast("string"), "free"))
    assert free["delta"].to_pylist() == read["delta"].to_pylist()
    assert done["missing sweep"]["status"] == 2
    assert "needs the --workdir of a finished `patch_sweep` run" in done["missing sweep"]["err"]
    assert done["replay is no sweep"]["status"] == 2


def test_tables_of_other_rollouts_are_never_written_over(session):
    tmp, done = session
    read, first = (json.loads((tmp / name / "replay.json").read_text()) for name in ("read", "first"))
    assert read["fingerprint"] == first["fingerprint"]
    wrong = "has what was read of other rollouts"
    for name, said in (("another sweep", wrong), ("read there", wrong), ("rollouts there", "has rollouts of its own")):
        assert (done[name]["status"], done[name]["err"].count("\n")) == (2, 1), done[name]["err"]
        assert said in done[name]["err"]
        assert not heavy(done[name])
    assert not (tmp / "read" / "free").exists()


def test_every_source_has_the_random_features_that_its_band_takes(session):
    tmp, done = session
    assert done["controls"]["status"] == 0
    told = json.loads((tmp / "controls" / "replay.json").read_text())["reading"]
    assert (told["random_draws"], told["random_draws_needed"]) == (19, 19)
    assert pq.read_table(tmp / "controls" / "replay_pathways.parquet")["null_high"].null_count == 0
    assert "random features:" not in done["controls"]["out"]
    assert "warning: nothing will be called a pathway" not in done["controls"]["out"]
    assert done["first"]["out"].startswith("warning: nothing will be called a pathway: random features are not among")
    assert "random features: 0 for each source and value, where 19 are needed" in done["first"]["out"]


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_in_a_line_before_anything_is_compiled(session, name):
    tmp, done = session
    found = done[name]
    assert (found["status"], found["err"].count("\n")) == (2, 1), found["err"]
    assert re.search(REFUSALS[name][1], found["err"]), found["err"]
    assert not heavy(found)
    assert not (tmp / "refused").exists()
