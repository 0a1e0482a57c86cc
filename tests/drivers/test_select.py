"""`causeway select` from the command line, and a sweep on what it selected."""

import json
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from causeway.engine.earlier_results import feature_names
from causeway.engine.sweep.fingerprint import file_sha256
from tests.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("study") / "results", features=40, causal=0.4, effect=0.5, length=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory, study):
    """Prompts, and the study's screen of its features."""
    folder = tmp_path_factory.mktemp("files")
    prompts = [
        {"text": f"game: balance ${n}. choice:", "group": ("safe", "risky")[n % 2], "id": f"p{n}"} for n in range(12)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    layers = {}
    for layer, feature in study.pairs:
        entry = {"feature_idx": feature, "cohen_d": 0.1 * layer, "safe_mean": 0.5, "bankrupt_mean": 2.0}
        layers.setdefault(str(layer), {"significant_features": []})["significant_features"].append(entry)
    (folder / "screen.json").write_text(json.dumps({"layer_results": layers}))
    return folder


def test_a_study_is_selected_from_with_values_and_prompts(study, files, drive, tmp_path):
    flags = (
        f"--results={study.folder}", f"--features={files / 'screen.json'}", f"--prompts={files / 'prompts.jsonl'}",
        "--per_layer=2", "--prompts_each=3", f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    ran, again = drive("select", flags, flags)
    assert (ran["status"], again["status"]) == (0, 2)
    assert not ran["compiled"]
    assert "--overwrite" in again["err"]
    listed = json.loads((tmp_path / "out" / "causal_features.json").read_text())
    table = pq.read_table(tmp_path / "out" / "causal_features.parquet")
    assert [entry["feature"] for entry in listed] == feature_names(table)
    assert {(entry["value_safe"], entry["value_risky"]) for entry in listed} == {(0.5, 2.0)}
    assert all(entry["is_causal"] and entry["feature_id"] >= 0 for entry in listed)
    sample = json.loads((tmp_path / "out" / "prompts_sample.json").read_text())
    assert list(sample) == [entry["feature"] for entry in listed]
    assert all(len(own) == 3 and len({prompt["group"] for prompt in own}) == 2 for own in sample.values())
    lines = [json.loads(line) for line in (tmp_path / "out" / "prompts.jsonl").read_text().splitlines()]
    assert {line["id"] for line in lines} == {prompt["id"] for own in sample.values() for prompt in own}
    about = json.loads((tmp_path / "out" / "select.json").read_text())
    assert about["prompts_by"] == {"hash of feature and prompt": len(listed)}
    assert about["selected"] == len(listed) > 1
    assert about["inputs"]["features"] == {
        "folder": str(files), "files": {"screen.json": file_sha256(files / "screen.json")}
    }  # fmt: skip
    assert {name.partition("_")[0] for name in about["inputs"]["results"]["files"]} >= {"checkpoint"}
    assert max(Counter(entry["layer"] for entry in listed).values()) == 2


def test_without_prompts_no_files_of_prompts_are_left(study, files, drive, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    runs = drive(
        "select",
        (f"--results={study.folder}", f"--prompts={files / 'prompts.jsonl'}", out),
        (f"--results={study.folder}", "--rank_by=interval", "--top_total=5", out, "--overwrite"),
    )
    assert [ran["status"] for ran in runs] == [0, 0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"causal_features.json", "causal_features.parquet", "select.json", "causeway.sha256"}
    assert "without values to be set to: 5" in runs[1]["out"]


REFUSALS = {
    "neither": ((), "--results, --features: got neither"),
    "no study": (("--results={tmp}",), "--results: .*holds no checkpoint_"),
    "no file": (("--features={tmp}/nowhere.npz",), "--features: .*nowhere.npz: no such file"),
    "idle": (("--results={study}", "--value=mean"), "--value: without effect without --features"),
    "no verdicts": (("--features={files}/screen.json", "--noonly_causal"), "--only_causal: without effect without"),
    "no judge": (("--results={study}", "--noonly_causal", "--verdict=study"), "--verdict: without effect with"),
    "not ours": (("--results={study}", "--verdict=ours"), "--verdict: got ours, but a published study's files"),
    "both counts": (
        ("--results={study}", "--top_total=5", "--per_layer=9"), "--per_layer: without effect with --top_total"
    ),
    "no prompts": (("--results={study}", "--prompts_each=3"), "--prompts_each: without effect without --prompts"),
    "nothing known": (("--features={files}/screen.json", "--rank_by=effect"), "--rank_by: got effect, which none"),
    "missing prompts": (("--results={study}", "--prompts={tmp}/nowhere.jsonl"), "nowhere.jsonl: no such file"),
}  # fmt: skip


def test_bad_input_is_refused_with_one_line_and_nothing_written(study, files, drive, tmp_path):
    places = {"tmp": tmp_path, "study": study.folder, "files": files}
    runs = [[flag.format(**places) for flag in flags] + [f"--out={tmp_path / 'out'}"] for flags, _ in REFUSALS.values()]
    for ran, (_, message) in zip(drive("select", *runs), REFUSALS.values(), strict=True):
        assert ran["status"] == 2, message
        assert len(ran["err"].splitlines()) == 1
        assert re.search(message, ran["err"]), ran["err"]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_sweep_is_selected_from_with_its_own_prompts_and_swept_again(drive, tmp_path):
    screened, swept = tmp_path / "screen", tmp_path / "sweep"
    (screen,) = drive("screen", ("--states=12", f"--out={screened}"))
    assert screen["status"] == 0
    sweep = (
        f"--prompts={screened / 'prompts.jsonl'}",
        f"--features={screened / 'screen.parquet'}",
        "--limit_features=3",
    )
    (ran,) = drive("patch_sweep", (*sweep, "--arms=baseline,patch", f"--workdir={swept}"))
    assert ran["status"] == 0
    (chosen,) = drive("select", (f"--results={swept}", "--rank_by=effect", "--noonly_causal", "--prompts_each=2",
                                 f"--out={tmp_path / 'out'}"))  # fmt: skip
    assert chosen["status"] == 0
    about = json.loads((tmp_path / "out" / "select.json").read_text())
    assert about["prompts_by"] == {"activation nearest to its median over the prompts of the group": 3}
    assert sorted(about["values"]) == ["risky", "safe"]
    plan = json.loads((swept / "plan.json").read_text())
    assert about["model_fingerprint"] == plan["parts"]["weights"]
    assert about["inputs"]["results"]["files"]["effects.parquet"] == file_sha256(swept / "effects.parquet")
    again = (
        f"--prompts={tmp_path / 'out' / 'prompts.jsonl'}",
        f"--features={tmp_path / 'out' / 'causal_features.parquet'}",
    )
    answers = '--answers=[{"text": " stop", "label": "stop"}, {"text": " bet", "label": "bet"}]'
    (swept_again,) = drive("patch_sweep", (*again, answers, "--arms=baseline,patch", f"--workdir={tmp_path / 'again'}"))
    assert swept_again["status"] == 0, swept_again["err"]
    trials = pq.read_table(tmp_path / "again" / "trials.parquet")
    table = pq.read_table(tmp_path / "out" / "causal_features.parquet")
    assert set(trials["feature"].to_pylist()) - {-1} == set(table["feature"].to_pylist())
