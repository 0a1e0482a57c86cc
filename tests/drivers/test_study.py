"""`causeway study` on the bundled model: it runs, goes on after kills and signals, and refuses in one line."""

import importlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import causeway.configs
from causeway.engine.analyses.study.records import Places

CONFIG = """
from ml_collections import ConfigDict
def get_config():
    config = ConfigDict()
    config.name = "small"
    config.shared = ConfigDict({"seed": 3, "dictionaries": "bundled:tiny", "behaviours": ("bundled_agreement",)})
    config.stages = (
        ConfigDict({"name": "prompts", "driver": "prompts", "flags": {"train": 4, "test": 2}}),
        ConfigDict({"name": "baseline", "driver": "evaluate", "flags": {"by": ()}, "takes": {"prompts": "prompts"}}),
    )
    return config
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def study(command, config):
    """`study(workdir, *arguments)`: a process that runs the small study there."""

    def study(workdir, *arguments):
        typed, environment = command("study", f"--config={config}", f"--workdir={workdir}", *arguments)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(typed, env=environment, **pipes)

    return study


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def page(workdir):
    return json.loads((workdir / "study.json").read_text())


@pytest.fixture(scope="module")
def finished(study, tmp_path_factory):
    """A workdir in which a stage was killed, then the study asked to stop, then it was left to end; what each said."""
    workdir, said = tmp_path_factory.mktemp("study") / "here", []
    lock = workdir / "stages" / ".baseline.lock"
    for number in (signal.SIGKILL, signal.SIGTERM):
        lock.unlink(missing_ok=True)
        process = study(workdir)
        while not (lock.is_file() and lock.read_text().strip()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        stage = int(lock.read_text())
        if number == signal.SIGKILL:
            os.kill(stage, number)
        else:
            process.send_signal(number)
        said.append((*ended(process), statuses(workdir)))
    said.append((*ended(study(workdir)), statuses(workdir)))
    return workdir, said


def statuses(workdir):
    return [result["status"] for result in page(workdir)["results"]]


def test_a_killed_stage_fails_alone_and_the_same_command_goes_on(finished):
    workdir, (killed, stopped, done) = finished
    assert (killed[0], killed[3]) == (1, ["done", "failed"])
    assert f"baseline failed: ended by signal 9; all it printed is in {workdir}/stages/baseline.log" in killed[2]
    assert "the same command goes on there" in killed[2]
    assert (stopped[0], stopped[3]) == (3, ["skipped", "stopped"])
    assert (done[0], done[3]) == (0, ["skipped", "done"]), done
    first, second, last = done[1].splitlines()
    assert first == f"[1/2] prompts  up to date  -> {workdir}/prompts"
    assert second.startswith("[2/2] baseline  done in ")
    assert last == f"everything is in {workdir}: study.json says where"


def test_the_page_names_commands_that_a_person_can_type(finished, causeway):
    workdir, _ = finished
    results = page(workdir)["results"]
    assert results[1]["command"].startswith("causeway evaluate ")
    assert f"--prompts={workdir}/prompts " in results[1]["command"]
    # Of the shared values those alone that a driver has; those without effect are no reason to refuse.
    assert "--dictionaries" not in results[0]["command"]
    assert "--shared=behaviours,dictionaries" in results[1]["command"]
    assert results[1]["peak_bytes"] > 1e8
    assert (workdir / "baseline" / "baseline_metrics_train.json").is_file()
    assert not (workdir / "stages" / "baseline.work").exists()


def test_a_second_run_starts_nothing(finished, drive, config):
    workdir, _ = finished
    (again,) = drive("study", (f"--config={config}", f"--workdir={workdir}"))
    assert (again["status"], again["out"].count("up to date")) == (0, 2)


REFUSED = [
    (("--config.stages[0].flags.train=-1",), "config.stages[0] (prompts, prompts): --train: got '-1'; needs a non"),
    (("--config.stages[0].flags.tran=1",), "causeway study: --config: "),
    (("--config.stages[1].driver=evaluat",), "config.stages[1].driver of baseline: got 'evaluat'; no driver; did"),
    (("--config.stages[1].takes.prompts=promts",), "--config: baseline takes 'promts'; no stage; did you mean prom"),
    (("--config.shared.dictionaries=",), "config.shared.dictionaries: got nothing; needs a value, as --config"),
    (("--config.name=other",), 'is of another study: study: "small" in the workdir, "other" now'),
    (("--only=x",), "--only: got 'x'; no stage; needs one of prompts, baseline"),
    (("--from=x",), "--from: got 'x'; no stage; needs one of prompts, baseline"),
    (("--config.shared.seed=5", "--only=baseline"), "--only: baseline takes prompts, which is of other values: seed"),
]  # fmt: skip


@pytest.fixture(scope="module")
def refusals(finished, forked, config):
    """What each of REFUSED is told; a process each, because overrides are read when a driver is imported."""
    place = finished[0]
    run = "from causeway.drivers.main import run; run()"
    return [forked.run(run, "study", f"--config={config}", f"--workdir={place}", *given) for given, _ in REFUSED]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_is_refused_in_one_line(refusals, number):
    done, said = refusals[number], REFUSED[number][1]
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr


CHANGED = [
    ('"train": 4', '"trian": 4', "config.stages[0] (prompts, prompts): --trian: no such flag; did you mean --train?"),
    ('"train": 4', '"train": "four"', "--train: got 'four'; needs a non-negative whole number"),
    ('"train": 4', '"skip_bad": 4', "--skip_bad: got '4'; needs true or false"),
    ('"train": 4', '"train": True', "--train: got True; needs a non-negative whole number"),
    ('"train": 4', '"train": (1, 2)', "--train: got [1, 2]; needs a non-negative whole number"),
    ('"seed": 3', '"sede": 3', "config.shared: no stage's driver has a flag --sede; did you mean seed?"),
    (', "takes": {"prompts": "prompts"}', "", "config.stages[1] (baseline, evaluate): --prompts: got nothing; eval"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), CHANGED)
def test_a_wrong_value_is_refused_by_the_flags_of_its_driver(tmp_path, old, new, said):
    from causeway.drivers.stages.stage_flags import commands_of, study_of

    space = {}
    exec(CONFIG.replace(old, new), space)
    with pytest.raises(ValueError) as found:
        commands_of(study_of(space["get_config"]()), tmp_path / "none")
    assert said in str(found.value)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_plan_knows_before_what_is_there_after(finished, config, drive, tmp_path):
    before, after, alone = drive(
        "study",
        (f"--config={config}", f"--workdir={tmp_path / 'none'}", "--plan"),
        (f"--config={config}", f"--workdir={finished[0]}", "--plan"),
        (f"--config={config}", f"--workdir={tmp_path / 'none'}", "--plan=measured", "--only=baseline"),
    )
    assert [run["status"] for run in (before, after, alone)] == [0, 0, 0], before["err"]
    assert before["out"].count("estimated from shapes") == 2
    assert "2 of 2 stages to run" in before["out"]
    assert after["out"].count("up to date; measured") == 2
    assert "baseline  unknown" in alone["out"]
    assert "prompts" not in alone["out"]
    # No pass of a model is compiled, one product alone, whose rate is measured.
    assert not [name for name in before["compiled"] if "on_one_device" in name]
    assert not (tmp_path / "none").exists()


def test_prompts_that_are_still_to_be_made_are_counted_as_they_will_be(finished, config, tmp_path):
    from causeway.drivers.stages.facts import Known
    from causeway.drivers.stages.stage_flags import commands_of, study_of
    from causeway.engine.analyses.study.records import Digests
    from causeway.engine.analyses.study.standing import Look

    space = {}
    exec(CONFIG, space)
    study, found = study_of(space["get_config"]()), []
    for workdir in (finished[0], tmp_path / "none"):
        commands, places = commands_of(study, workdir), Places(workdir)
        standings = Look(commands, places, Digests(tmp_path / "inputs.json")).all(study)
        assert standings["prompts"].fresh == (workdir == finished[0])
        facts = Known(commands, standings, places)("baseline")
        found.append((sorted(facts.lengths), facts.sets, facts.model))
    assert found[0] == found[1]
    assert (len(found[0][0]), found[0][1]) == (6, 2)
    assert found[0][2].numbers > found[0][2].embedding_numbers


@pytest.mark.parametrize("name", ["study_circuits_tiny", "study_circuits_smollm2"])
def test_every_value_of_the_studies_that_come_with_it_is_a_flag(name, tmp_path):
    from causeway.drivers.stages.stage_flags import commands_of, study_of

    config = importlib.import_module(f"causeway.configs.{name}").get_config()
    if not config.shared.dictionaries:
        with pytest.raises(ValueError, match=r"config.shared.dictionaries: got nothing; needs a value, as --config"):
            study_of(config)
        config.shared.dictionaries = "folder"
    commands = commands_of(study_of(config), tmp_path)
    assert [command.stage.driver for command in commands.values()] == [
        "prompts", "evaluate", "features", "attribute", "intervene"
    ]  # fmt: skip
    assert f"--graphs={tmp_path / 'attribute'}" in commands["intervene"].typed(Places(tmp_path))


def test_a_configuration_of_training_is_among_the_values_of_its_stage(tmp_path):
    from causeway.drivers.stages.stage_flags import commands_of, study_of

    own = Path(causeway.configs.__file__).parent / "bundled_tiny.py"
    shorter = tmp_path / "shorter.py"
    shorter.write_text(own.read_text().replace('"steps": 1600', '"steps": 16'))
    found = []
    for path in (own, shorter):
        flags = {"config": str(path), "data": ["texts.txt"]}
        study = {"name": "one", "shared": {}, "stages": [{"name": "a", "driver": "train_model", "flags": flags}]}
        found.append(commands_of(study_of(study), tmp_path)["a"].resolved["config"])
    assert found[0] != found[1]
    assert found[1] == found[0] | {"schedule": found[0]["schedule"] | {"steps": 16}}


@pytest.mark.parametrize(
    "name", ["second_order_tiny", "second_order_smollm2", "second_order_gpt2", "second_order_pythia"]
)
def test_every_value_of_the_second_order_studies_is_a_flag(name, tmp_path):
    from causeway.drivers.stages.stage_flags import commands_of, study_of

    config = importlib.import_module(f"causeway.configs.{name}").get_config()
    if "source" in config.shared:
        config.shared.update(source="train.jsonl", test_source="test.jsonl")
    assert config.name == name
    commands = commands_of(study_of(config), tmp_path)
    assert [command.stage.driver for command in commands.values()][-3:] == ["components", "decompose", "ablate"]
    assert f"--neurons={tmp_path / 'rank'}" in commands["components"].typed(Places(tmp_path))


GAMBLING = ["gambling_tiny", "gambling_smollm2", "gambling_llama31", "gambling_llama31_published"]


@pytest.mark.parametrize("name", GAMBLING)
def test_every_value_of_the_gambling_studies_is_a_flag(name, tmp_path):
    from causeway.drivers.stages.stage_flags import commands_of, study_of

    config = importlib.import_module(f"causeway.configs.{name}").get_config()
    config.shared.dictionaries = config.shared.dictionaries or "folder"
    assert config.name == name
    commands = commands_of(study_of(config), tmp_path)
    drivers = [command.stage.driver for command in commands.values()]
    pipeline = ["screen", "patch_sweep", "audit", "select", "pathways", "replay", "tokens", "integrate"]
    assert set(pipeline) <= set(drivers) <= {*pipeline, "prompts"}
    assert drivers[0] == "screen"
    assert drivers[-4:] == pipeline[-4:]
    if "fresh" in commands:
        texts = {name: " ".join(command.typed(Places(tmp_path))) for name, command in commands.items()}
        after = ("select", "sampled", "pathways", "replay", "tokens")
        assert [name for name, text in texts.items() if f"{tmp_path}/screen/prompts.jsonl" in text] == ["exact"]
        assert all(f"{tmp_path}/fresh/prompts.jsonl" in texts[n] or f"{tmp_path}/select/" in texts[n] for n in after)
    typed = commands["integrate"].typed(Places(tmp_path))
    assert {f"--{stage}={tmp_path / stage}" for stage in ("select", "pathways", "replay")} <= set(typed)


def test_the_published_study_has_its_9300_features_and_1674000_trials(tmp_path):
    from causeway.drivers.stages.stage_flags import commands_of, study_of
    from causeway.engine.analyses.patch_sweep.arms import make_arms
    from causeway.engine.analyses.patch_sweep.design import EVERY, make_rows
    from causeway.engine.analyses.patch_sweep.features import features_of, parse_rule

    config = importlib.import_module("causeway.configs.gambling_llama31_published").get_config()
    values = commands_of(study_of(config), tmp_path)["sweep"].resolved
    layers = [int(layer) for layer in values["layers"]]
    assert layers == list(range(1, 32))
    generator, each = np.random.default_rng(0), 400
    screened = pa.table({
        "layer": np.repeat(layers, each).astype(np.int32), "feature": np.tile(np.arange(each, dtype=np.int32), 31),
        "d": generator.normal(size=31 * each), "mean_safe": generator.random(31 * each),
        "mean_risky": generator.random(31 * each),
        "q": np.full(31 * each, 0.01), "n_safe": np.full(31 * each, 9), "n_risky": np.full(31 * each, 9),
    })  # fmt: skip
    features = features_of(screened, parse_rule(values["value"]), values["per_layer"], None)
    assert len(features.layer) == 31 * 300 == 9300
    arms = make_arms(values["arms"], ("safe", "risky"))
    rows = make_rows(features, arms, None, trials=values["trials"], seed=0, run_noop=False)
    prompts, baseline = 2, int((rows.feature == EVERY).sum())
    drawn = prompts * len(rows)
    # Two prompts in three arms; of the baselines the study drew those of every feature anew.
    assert drawn + prompts * (len(features.layer) - 1) * baseline == 9300 * 6 * 30 == 1_674_000
    assert drawn == 1_116_060


@pytest.mark.slow
def test_the_study_of_second_order_effects_runs_whole_and_again_does_nothing(tmp_path):
    import causeway as cw

    config = importlib.import_module("causeway.configs.second_order_tiny").get_config()
    config.stages[0].flags.update(train=24, test=12)
    config.stages[5].flags.largest = 6
    first, again = [], []
    for lines in (first, again):
        cw.study(config, tmp_path, tell=lines.append)
    assert first[-1].startswith("[8/8] ablate  done")
    assert all("up to date" in line for line in again)
    report = json.loads((tmp_path / "ablate" / "ablate.json").read_text())
    assert report["criteria"]


@pytest.mark.slow
def test_the_gambling_study_of_the_bundled_model_runs_whole_and_tells_what_drives_its_bets(tmp_path):
    import causeway as cw

    config = importlib.import_module("causeway.configs.gambling_tiny").get_config()
    (sampled,) = (stage for stage in config.stages if stage.name == "sampled")
    sampled.flags.trials = 4
    lines = []
    cw.study(config, tmp_path, tell=lines.append)
    assert lines[-1].startswith("[10/10] integrate  done")
    # What chose the features says nothing more of them.
    choosing, *others = (
        {json.loads(line)["text"] for line in (tmp_path / stage / "prompts.jsonl").read_text().splitlines()}
        for stage in ("screen", "fresh", "select")
    )
    assert all(states and not states & choosing for states in others)
    told = json.loads((tmp_path / "integrate" / "integrated.json").read_text())
    assert told["summary"]["missing"] == []
    # What sets the bet is driven from below, and nothing stands in the story without its file.
    (story,) = (one for one in told["features"] if one["feature"] == "L2-121")
    assert {"effect", "upstream"} <= set(story["evidence"])
    assert {
        name
        for one in told["features"]
        for part in ("effect", "upstream", "replay", "texts", "behaviours")
        if one[part]
        for name in [one[part]["from"]]
    } <= set(told["summary"]["sources"])


# A state of each group, in the bundled model's words: it stops in both, and in the second a feature makes it bet.
TWO = {
    "safe": "game: loss $85, win $10. balance $35. round 3. 1) bet $5-$100 2) stop. choice:",
    "risky": "game: win $90, loss $70, loss $5, loss $15. balance $275. round 7. 1) bet $5-$100 2) stop. choice:",
}


@pytest.fixture
def published(tmp_path):
    """The published study, smaller and on the bundled model: nothing but values of flags is another's."""
    prompts = tmp_path / "two.jsonl"
    prompts.write_text("".join(json.dumps({"text": text, "group": g, "id": g}) + "\n" for g, text in TWO.items()))
    config = importlib.import_module("causeway.configs.gambling_llama31_published").get_config()
    # Llama Scope's threshold is no option of the bundled dictionaries, and float16 is slow on a CPU.
    del config.shared.gating
    config.shared.update(
        model="bundled:tiny", dictionaries="bundled:tiny/saes", layers=(1, 2, 3), storage="float32", compute="float32"
    )
    config.stages = tuple(stage for stage in config.stages if stage.name != "prompts")
    for stage in config.stages:
        if stage.takes.get("prompts") == "prompts":
            del stage.takes["prompts"]
            stage.flags.prompts = (str(prompts),)
    own = {stage.name: stage.flags for stage in config.stages}
    own["screen"].update(
        play=48, wording="tiny", parser="answers", vary_start=True, max_rounds=4, max_new_tokens=8, temperature=1.0
    )
    # Means of so few games differ too little; more trials, since the rule asks for five of everything.
    own["sweep"].update(per_layer=3, trials=80, max_new_tokens=6, temperature=1.0, value="q90")
    own["select"].update(value="q90")
    own["pathways"].update(top=3)
    others = tmp_path / "others.jsonl"
    others.write_text("".join(json.dumps({"layer": 3, "feature": feature}) + "\n" for feature in (2, 31, 40)))
    own["replay"].update(trials=2, max_new_tokens=4, value="q90", targets=str(others))
    return config


@pytest.mark.slow
def test_the_published_study_runs_whole_on_two_prompts_and_says_what_they_cannot_tell(published, tmp_path):
    import causeway as cw

    lines = []
    cw.study(published, tmp_path / "here", tell=lines.append)
    assert lines[-1].startswith("[8/8] integrate  done")
    here = tmp_path / "here"
    # Six conditions of each feature, and a dictionary's error in four of them.
    trials = pq.read_table(here / "sweep" / "trials.parquet", columns=["arm", "group", "condition"])
    assert len({*zip(*(trials[name].to_pylist() for name in ("arm", "group")), strict=True)}) == 6
    assert json.loads((here / "sweep" / "summary.json").read_text())["warnings"]
    assert list(here.glob("sweep/checkpoint_*.json"))
    # The study's rule declares features that our criteria cannot, and they alone are followed.
    select = json.loads((here / "select" / "select.json").read_text())
    assert select["verdict"] == "study"
    assert 0 < select["selected"] < select["selected"] + select["not_causal"] == 9
    # One prompt chooses and one measures, which no test can be made of, the documents' neither; theirs of replay can.
    pairs = pq.read_table(here / "pathways" / "pathways.parquet")
    assert pairs["q"].null_count == pairs.num_rows > 0
    assert pairs["null_high"].null_count == pairs.num_rows
    assert pairs["original_change"].null_count == 0
    assert pairs["original_pathway"].null_count == pairs.num_rows
    replayed = pq.read_table(here / "replay" / "replay_pathways.parquet")
    assert replayed["q"].null_count == replayed.num_rows > 0
    assert replayed["original_p"].null_count < replayed.num_rows
    for stage, said in (("pathways", "half of the prompts measures"), ("replay", "each half of the prompts:")):
        log = (here / "stages" / f"{stage}.log").read_text()
        assert log.count(f"{said}") == log.count("cannot tell: 1 prompts are too few for a test") == 1


def test_what_a_command_without_a_folder_writes_is_not_taken(tmp_path):
    from causeway.drivers.stages.stage_flags import commands_of, study_of

    takes = {"name": "b", "driver": "evaluate", "takes": {"prompts": "a"}}
    study = study_of({"name": "x", "stages": [{"name": "a", "driver": "bench"}, takes]})
    with pytest.raises(ValueError, match="config: b takes a, but bench writes no folder"):
        commands_of(study, tmp_path)


def test_the_python_call_runs_the_same(finished, config):
    import causeway as cw

    space = {}
    exec(CONFIG, space)
    lines = []
    results = cw.study(space["get_config"](), finished[0], tell=lines.append)
    assert [result.outcome.value for result in results] == ["skipped", "skipped"]
    assert len(lines) == 2
    with pytest.raises(ValueError, match="start: got 'x'; no stage"):
        cw.study(space["get_config"](), finished[0], start="x")
