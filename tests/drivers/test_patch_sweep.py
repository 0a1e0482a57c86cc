"""`causeway patch_sweep` from files to effects: resumed, killed, repaired, and refused in one line."""

import importlib.util
import json
import random
import re
import shutil
import signal
import subprocess
import time

import pyarrow.parquet as pq
import pytest

ANSWERS = [
    {"text": " stop", "label": "stop"}, {"text": " bet $5", "label": "bet", "amount": 5},
    {"text": " bet $10", "label": "bet", "amount": 10},
]  # fmt: skip
HEAVY = {"edited_answers", "decode_segment", "prefill", "on_one_device", "_clean"}
SAMPLED = ("--outcome=sampled", "--trials=2", "--max_new_tokens=3", "--batch_rows=8", "--unit_buckets=1",
           "--record_features=top:2", "--record_logits=1", "--arms=baseline,patch")  # fmt: skip


def heavy(run):
    """What a run compiled to run the model."""
    return [program for program in run["compiled"] if any(name in program for name in HEAVY)]


def write(path, *records):
    path.write_text("\n".join(json.dumps(record) for record in records))
    return path


@pytest.fixture(scope="module")
def place(small):
    """The small model's folder with prompts, answers and features beside it."""
    texts = ("you won $5. choice:", "you lost. choice:", "you lost. you won $5. choice:")
    groups = ("safe", "risky")
    write(small / "prompts.jsonl", *({"text": texts[i % 3], "group": groups[i % 2]} for i in range(8)))
    (small / "answers.json").write_text(json.dumps(ANSWERS))
    pairs = [(0, 3), (2, 7), (0, 11), (2, 1)]
    rows = ({"layer": n, "feature": f, "value_safe": 0.5, "value_risky": 3.0 + i} for i, (n, f) in enumerate(pairs))
    write(small / "features.jsonl", *rows)
    return small


@pytest.fixture(scope="module")
def given(place):
    """Flags of a sweep; the last of a name wins."""

    def given(*more):
        files = {"model": "model", "dictionaries": "saes", "prompts": "prompts.jsonl", "features": "features.jsonl",
                 "answers": "answers.json"}  # fmt: skip
        return [*(f"--{flag}={place / name}" for flag, name in files.items()), "--batch_rows=16", *more]

    return given


def contents(workdir):
    """Bytes of every data file."""
    files = [workdir / "trials.parquet", *workdir.glob("units/*.parquet"), *workdir.glob("*.zarr/**/*")]
    return {str(p.relative_to(workdir)): p.read_bytes() for p in files if p.is_file()}


REFUSALS = {
    "a card without a plan": (("--target=a40",), "--target: without effect without --plan=abstract"),
    "no card": (("--plan=abstract", "--target=h1"), "--target: got 'h1', no card and no file; needs h200, a100"),
    "layer": (("--features={tmp}/layer.jsonl",), "layer"),
    "feature": (("--features={tmp}/feature.jsonl",), "features: id 24 is outside the dictionary's 0..23"),
    "empty prompt": (("--prompts={tmp}/empty.jsonl",), "line 1: has neither a text .* nor tokens"),
    "long prompt": (("--prompts={tmp}/long.jsonl",), "the context of .* is 24"),
    "no answers": (("--answers=",), "answers: prompt 0 has none; give --answers"),
    "answers that begin one another": (("--answers={tmp}/nested.json",), "' bet' begins ' bet \\$5'"),
    "no file": (("--prompts={tmp}/nowhere.jsonl",), "nowhere.jsonl: no such file"),
    "a folder": (("--answers={tmp}",), "is a folder; give one of its files"),
    "no dictionaries": (("--dictionaries=",), "--dictionaries: got nothing"),
    "a layer of no dictionary": (("--layers=1",), "1"),
    "layers": (("--layers=first",), "--layers: got 'first'"),
    "arms": (("--arms=baseline,pacth",), "arms: got 'pacth'; needs some of"),
    "arms without effect": (("--arms=baseline",), "arms: got baseline, which patch no feature"),
    "scope": (("--scope=first",), "scope: got 'first'; needs one of"),
    "held layer": (("--holds=attn_pattern,norm.9",), "Hold.layers: got 9"),
    "held stream": (("--holds=feature",), "holds: got 'feature'; needs one of open"),
    "held place": (("--holds=feature.1",), "--holds: cannot read 'feature.1' in a llama; write STREAM.LAYER"),
    "operation with doses": (("--value_operation=add",), "operation: got add with doses"),
    "position": (("--scope=positions:9",), "is outside a prompt of"),
    "value": (("--value=safe=low",), "value: got 'safe=low'"),
    "value of no group": (("--value=riksy=1,safe=0",), "value: got 'riksy', which is no group; .* safe, risky"),
    "no values": (("--features={tmp}/bare.jsonl",), "features: the table has not groups' means"),
    "doses": (("--doses=0.5,half",), "--doses: got '0.5,half'"),
    "stop tokens": (("--stop_tokens=[1,", "--outcome=sampled"), "--stop_tokens: got '\\[1,', which is not JSON"),
    "stop id": (("--stop_tokens=1,900", "--outcome=sampled"), "stop: got 900; needs a whole number from 0 to"),
    "seed": (("--seed=4294967296",), "--seed: got .4294967296.; needs a whole number in the range"),
    "negative seed": (("--seed=-1",), "--seed: got .-1.; needs a whole number in the range"),
    "one disk limit": (("--disk_limits=0.8",), "--disk_limits: got 1 numbers; needs two"),
    "disk limit": (("--disk_limits=high,low",), "--disk_limits: got 'high,low'"),
    "disk order": (("--disk_limits=0.9,0.8",), "disk guard: got warn=0.9, stop=0.8"),
    "record": (("--record_features=top:99", "--outcome=sampled"), "record_features: got 'top:99'"),
    "record exact": (("--record_features=all",), "record_features: .* use the sampled outcome"),
    "export exact": (("--export_study",), "--export_study: .* needs --outcome=sampled"),
    "alpha": (("--alpha=2",), "alpha: got 2.0"),
    "temperature": (("--temperature=-1", "--outcome=sampled"), "temperature: got .-1"),
    "no temperature": (("--temperature=nan", "--outcome=sampled"), "temperature: got nan"),
    "mass": (("--top_p=0", "--outcome=sampled"), "top_p: got 0"),
    "most probable": (("--top_k=-2", "--outcome=sampled"), "top_k: got .-2"),
    "tokens": (("--max_new_tokens=40", "--outcome=sampled"), "max_new_tokens: 40 after a prompt of"),
    "recomputed": (
        ("--semantics=recomputed", "--scope=all", "--outcome=sampled", "--max_new_tokens=2"),
        "semantics: recomputed with",
    ),
    "devices": (("--devices=9",), "devices: got 9"),
    "number": (("--batch_rows=many",), "--batch_rows: got 'many'; needs a positive whole number"),
    "wide id": (("--features={tmp}/wide.jsonl",), "line 1: feature: got 4294967296; needs a whole number from 0"),
    "broken layer": (("--features={tmp}/broken.jsonl",), "line 1: layer: got 0.9; needs a whole number"),
    "huge value": (("--features={tmp}/huge.jsonl",), "line 1: value_a: got 9999.*; needs a finite number"),
    "value beyond float32": (("--value=safe=1e39,risky=0", "--features={tmp}/bare.jsonl"), "not finite in float32"),
    "huge amount": (("--answers={tmp}/amount.json",), "amount: got 9999.*; needs a finite number"),
    "answers": (("--answers=she,he",), "she,he: no such file; give a list such as"),
    "not a number": (("--alpha=nan",), "--alpha: got nan; needs a finite number"),
    "64 bits": (("--batch_rows=99999999999999",), "--batch_rows: got 99999999999999; needs a whole number of 32 bits"),
    "least": (("--limit_features=0",), "limit_features"),
    "choice": (("--outcome=both",), "--outcome: got 'both'; needs one of exact, sampled"),
    "unknown flag": (("--batch_rowz=3",), "--batch_rowz: no such flag; did you mean --batch_rows?"),
    "argument": (("more",), "unknown arguments: more"),
    "sharded": (("--placement=sharded",), "placement: got sharded; needs --mesh=model:2 or more"),
    "nothing to go on from": (("--rebucket=4",), "--rebucket: .* holds no run to go on from"),
    "no workdir": (("--workdir=",), "--workdir: got nothing"),
}  # fmt: skip


@pytest.fixture(scope="module")
def session(place, given, drive, tmp_path_factory):
    """Runs of one process, by name: a sweep, refusals on its workdir, sweeps of both outcomes; then all refusals."""
    tmp = tmp_path_factory.mktemp("runs")
    for name, changes in (("layer", {"layer": 1}), ("feature", {"feature": 24})):
        write(tmp / f"{name}.jsonl", {"layer": 0, "feature": 0, "value_a": 1.0} | changes)
    huge = 10**400 - 1
    write(tmp / "wide.jsonl", {"layer": 0, "feature": 2**32, "value_a": 1.0})
    write(tmp / "broken.jsonl", {"layer": 0.9, "feature": 0, "value_a": 1.0})
    write(tmp / "huge.jsonl", {"layer": 0, "feature": 0, "value_a": huge})
    write(tmp / "bare.jsonl", {"layer": 0, "feature": 0})
    (tmp / "amount.json").write_text(json.dumps([{**ANSWERS[0], "amount": huge}, ANSWERS[1]]))
    write(tmp / "empty.jsonl", {"text": "", "group": "safe"})
    write(tmp / "long.jsonl", {"text": "you lost. " * 20 + "choice:", "group": "safe"})
    shutil.copytree(place / "model", tmp / "moved")
    shutil.copy(place / "prompts.jsonl", tmp / "moved.jsonl")
    (tmp / "nested.json").write_text(json.dumps([{"text": " bet", "label": "go"}, ANSWERS[1]]))
    runs = {
        "exact": given(f"--workdir={tmp / 'exact'}"),
        "again": given(f"--workdir={tmp / 'exact'}", "--alpha=0.1"),
        "moved": given(f"--workdir={tmp / 'exact'}", f"--model={tmp / 'moved'}", f"--prompts={tmp / 'moved.jsonl'}"),
        "another plan": given(f"--workdir={tmp / 'exact'}", "--seed=3", "--scope=decode"),
        "streamed": given(f"--workdir={tmp / 'streamed'}", "--placement=streamed"),
        "pilot": given(f"--workdir={tmp / 'pilot'}", "--limit_features=2"),
        "plan": given(f"--workdir={tmp / 'planned'}", "--plan=abstract"),
        "card": given(f"--workdir={tmp / 'planned'}", "--plan=abstract", "--target=a40", "--limit_features=2"),
        "one layer": given(f"--workdir={tmp / 'layer'}", "--layers=2", "--plan=abstract"),
        "sampled": given(f"--workdir={tmp / 'sampled'}", *SAMPLED, "--export_study"),
    }
    runs |= {
        name: given(f"--workdir={tmp / 'refused'}", *(flag.format(tmp=tmp) for flag in flags))
        for name, (flags, _) in REFUSALS.items()
    }
    return tmp, dict(zip(runs, drive("patch_sweep", *runs.values()), strict=True))


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_in_one_line_before_anything_is_compiled(session, name):
    tmp, runs = session
    run = runs[name]
    assert run["status"] not in (0, None), run
    assert run["err"].startswith("causeway patch_sweep: ")
    assert run["err"].count("\n") == 1, run["err"]
    assert re.search(REFUSALS[name][1], run["err"]), run["err"]
    assert not heavy(run)
    assert not (tmp / "refused").exists()


def test_layers_choose_among_the_tables_features(session):
    assert session[1]["one layer"]["status"] == 0, session[1]["one layer"]["err"]


def test_a_sweep_from_files_to_effects(session):
    tmp, runs = session
    assert runs["exact"]["status"] == 0, runs["exact"]["err"]
    assert "p_stop:" in runs["exact"]["out"]
    # The rule of the values reads the last prompt token; edits act there unless told otherwise, and say so.
    assert "set at the last prompt token (last_prompt), values: given, delta form" in runs["exact"]["out"]
    assert str(tmp / "exact") in runs["exact"]["out"]
    trials = pq.read_table(tmp / "exact" / "trials.parquet")
    # Of each prompt: a baseline, two no-ops, and four features under 2 + 1 + 3 + 8 arms.
    assert trials.num_rows == 8 * (1 + 2 + 4 * 14)
    assert (tmp / "exact" / "effects.parquet").exists()
    assert json.loads((tmp / "exact" / "summary.json").read_text())["features"] == 4


def test_the_same_command_resumes_and_computes_nothing(session):
    _, runs = session
    assert runs["again"]["status"] == 0
    assert "0 units to compute" in runs["again"]["err"]
    assert not heavy(runs["again"])


def test_a_moved_model_goes_on_where_it_was(session):
    _, runs = session
    assert runs["moved"]["status"] == 0, runs["moved"]["err"]
    assert "0 units to compute" in runs["moved"]["err"]


def test_streamed_dictionaries_give_the_same_files(session):
    tmp, runs = session
    assert runs["streamed"]["status"] == 0, runs["streamed"]["err"]
    assert contents(tmp / "streamed") == contents(tmp / "exact")
    # Without the flag, the sizes decide; who plans is told.
    assert "dictionaries: whole on each device (" in runs["plan"]["out"]


def test_a_workdir_of_another_plan_is_refused_with_its_fields(session):
    _, runs = session
    assert runs["another plan"]["status"] == 2
    line = runs["another plan"]["err"]
    assert line.count("\n") == 1
    assert "parts." not in line
    assert "seed: 0 in the workdir, 3 now" in line
    assert 'scope: "last_prompt" in the workdir, "decode" now' in line


def test_a_pilot_is_the_first_features(session):
    tmp, runs = session
    assert runs["pilot"]["status"] == 0
    pairs = pq.read_table(tmp / "pilot" / "trials.parquet", columns=["layer", "feature"]).to_pylist()
    assert {(r["layer"], r["feature"]) for r in pairs if r["feature"] >= 0} == {(0, 3), (2, 7)}


def test_a_plan_is_told_without_a_workdir(session):
    tmp, runs = session
    assert runs["plan"]["status"] == 0
    for word in ("units", "time", "memory", "disk", "abstract"):
        assert word in runs["plan"]["out"]
    assert not (tmp / "planned").exists()


def test_a_plan_is_told_for_a_card_that_is_not_here(session):
    tmp, runs = session
    assert runs["card"]["status"] == 0, runs["card"]["err"]
    compiled = importlib.util.find_spec("jax_plugins") is not None
    for word in ("plan for one NVIDIA A40", "fits", "programs compiled for the card" if compiled else "shapes"):
        assert word in runs["card"]["out"]
    assert not (tmp / "planned").exists()


def test_a_sampled_sweep_is_exported_as_the_study_wrote_its_own(session):
    tmp, runs = session
    assert runs["sampled"]["status"] == 0, runs["sampled"]["err"]
    (checkpoint,) = (tmp / "sampled").glob("checkpoint_*.json")
    # Two trials of each of a context's four prompts, numbered through.
    assert json.loads(checkpoint.read_text())["n_trials_per_condition"] == 8
    assert len(list((tmp / "sampled").glob("response_logs/responses_*.json"))) == 1


def killed(command, given, workdir, after):
    """Run the sampled sweep in a process of its own and kill it when so many units are finished."""
    arguments, environment = command("patch_sweep", *given(f"--workdir={workdir}", *SAMPLED))
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(list(workdir.glob("units/*.json"))) < after:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode


def check_killed(command, causeway, given, whole, workdir, after):
    """Killed, then run again: the data files of an uninterrupted run."""
    assert killed(command, given, workdir, after) == -signal.SIGKILL
    assert not (workdir / "trials.parquet").exists()
    done = causeway("patch_sweep", *given(f"--workdir={workdir}", *SAMPLED))
    assert done.returncode == 0, done.stderr
    assert contents(workdir) == contents(whole)


@pytest.mark.slow
def test_a_killed_sweep_ends_with_the_bytes_of_an_uninterrupted_one(session, given, command, causeway, tmp_path):
    tmp, _ = session
    units = len(list((tmp / "sampled" / "units").glob("*.json")))
    assert units > 10
    check_killed(command, causeway, given, tmp / "sampled", tmp_path / "killed", random.randint(1, units // 2))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_a_sweep_may_be_killed_anywhere(session, given, command, causeway, tmp_path, share):
    tmp, _ = session
    units = len(list((tmp / "sampled" / "units").glob("*.json")))
    check_killed(command, causeway, given, tmp / "sampled", tmp_path / "killed", int(share * units))


@pytest.mark.slow
def test_a_corrupted_shard_is_named_and_repaired(session, given, drive):
    tmp, _ = session
    workdir = tmp / "sampled"
    before = contents(workdir)
    shard = max((p for p in workdir.glob("*.zarr/values/c/**/*") if p.is_file()), key=lambda p: p.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-3])
    place = given(f"--workdir={workdir}", *SAMPLED)
    refused, repaired = drive("patch_sweep", place, [*place, "--repair"])
    assert refused["status"] == 2
    assert str(shard.relative_to(workdir)) in refused["err"]
    assert "--repair" in refused["err"]
    assert repaired["status"] == 0, repaired["err"]
    assert contents(workdir) == before


# The driver in a process whose device has no memory for buckets of more than 8 rows from unit 4 on.
SMALL_DEVICE = """
import sys
from causeway.drivers.main import run
from causeway.engine.analyses.patch_sweep import run as runs
computed = runs.exact_unit
def unit(sweep, index):
    if index >= 4 and sweep.bucket(index) > 8:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123456 bytes.")
    return computed(sweep, index)
runs.exact_unit = unit
run()
"""


@pytest.mark.slow
def test_memory_that_runs_out_is_told_with_the_command_that_goes_on(given, forked, tmp_path):
    run = given(f"--workdir={tmp_path}", "--arms=baseline,patch", "--unit_buckets=1")
    stopped = forked.run(SMALL_DEVICE, "patch_sweep", *run)
    assert stopped.returncode == 3, stopped.stderr
    assert "stopped because memory ran out, 4 of 8 units finished, which stay" in stopped.stderr
    assert re.search(
        r"row buckets of 8 would fit \(.* GB of .* GB\): the same command with --rebucket=8", stopped.stderr
    )
    done = forked.run(SMALL_DEVICE, "patch_sweep", *run, "--rebucket=8")
    assert done.returncode == 0, done.stderr
    assert "4 units to compute, 4 finished" in done.stderr
    settings = json.loads((tmp_path / "plan.json").read_text())["config"]["settings"]
    assert (settings["rows"], settings["narrower"]) == (16, [[4, 8]])
    refused = forked.run(SMALL_DEVICE, "patch_sweep", *run, "--rebucket=4")
    assert refused.returncode == 2
    assert "--rebucket: the run in" in refused.stderr
