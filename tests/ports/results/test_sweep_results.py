"""A sweep's workdir and its export in the study's files say the same; what is not the sweep's own is refused."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.as_published.causal_rule import original_rule
from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.effects import EffectSettings
from causeway.engine.analyses.patch_sweep.run import finish
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store
from causeway.ports.results.study_export import export_study
from causeway.ports.results.study_files import read_earlier
from causeway.ports.results.sweep_results import read_activations

FEATURES = ((3, 10), (5, 7))
VALUES = {"safe": 0.25, "risky": 2.0}
PARTS = {"weights": "w", "dictionaries": "d", "tokenizer": "t"}
ABOUT = {
    "outcome": "sampled", "model": "a model", "model_fingerprint": "w", "dictionaries_fingerprint": "d",
    "tokenizer": "t",
}  # fmt: skip


def trials():
    """Three prompts a context, two features, eight trials."""
    rng, rows = np.random.default_rng(0), []
    for prompt in range(6):
        group = ("safe", "risky")[prompt % 2]
        cells = [(-1, -1, "baseline")]
        cells += [(*pair, arm) for pair in FEATURES for arm in ("patch:safe", "patch:risky", "ablate")]
        for layer, feature, arm in cells:
            value = VALUES.get(arm.removeprefix("patch:"), 0.0)
            for trial in range(8):
                action = str(rng.choice(["stop", "bet", "invalid"]))
                rows.append({
                    "prompt_id": prompt, "group": group, "layer": layer, "feature": feature, "arm": arm,
                    "condition": Arm.parse(arm).condition(group), "trial": trial, "scale": float(feature < 0),
                    "shift": value if feature >= 0 else 0.0, "value_before": float(prompt + feature),
                    "edits_applied": int(feature >= 0), "action": action, "response": f"{action} {rng.integers(99)}",
                    "amount": 20.0 if action == "bet" else None, "tokens": [prompt, trial],
                })  # fmt: skip
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder, table = tmp_path_factory.mktemp("sweep") / "work", trials()
    plan = Plan("patch_sweep", {}, PARTS, (table.num_rows,), Layout(table.schema), {"model": "a model"})
    run_sweep(Store(folder, plan), lambda unit: UnitResult(table))
    finish(folder, EffectSettings(split=False))
    return folder


@pytest.fixture
def exported(workdir, tmp_path):
    """The workdir with its export, and the export alone."""
    both = shutil.copytree(workdir, tmp_path / "both")
    screened = pa.table({"layer": [3, 5], "feature": [10, 7], "d": [0.7, -1.2]})
    paths = export_study(both, screened, original_rule(trials()))
    alone = tmp_path / "alone"
    (alone / "response_logs").mkdir(parents=True)
    for path in paths:
        shutil.copy(path, alone / path.relative_to(both))
    return both, alone


def test_responses_are_the_sampled_trials(workdir):
    found, table = read_earlier(workdir), trials()
    assert (found.kind, found.about) == ("patch_sweep", ABOUT)
    for name, own in (("layer", "layer"), ("arm", "arm"), ("context", "group"), ("trial", "trial"),
                      ("response", "response"), ("amount", "amount"), ("condition", "condition")):  # fmt: skip
        assert found.responses[name].to_pylist() == table[own].to_pylist()
    assert found.responses["tokens"].to_pylist() == table["tokens"].to_pylist()
    assert found.responses["prompt"].to_pylist() == list(map(str, table["prompt_id"].to_pylist()))
    assert found.responses["valid"].to_pylist() == [action != "invalid" for action in table["action"].to_pylist()]


def test_features_have_the_values_they_were_set_to_and_the_rules_verdicts(workdir):
    rows = read_earlier(workdir).features.to_pylist()
    decided = original_rule(trials()).to_pylist()
    assert [(row["layer"], row["feature"]) for row in rows] == list(FEATURES)
    for row, own in zip(rows, decided, strict=True):
        assert (row["value_safe"], row["value_risky"]) == (0.25, 2.0)
        assert row["is_causal_safe"] == own["original_is_causal_safe"]
        assert row["effect_risky"] == own["original_risky_effect_size"]
        assert row["cohen_d"] is None


def test_activations_are_what_features_were_before(workdir):
    found = {(row["feature"], row["prompt"]): row["activation"] for row in read_activations(workdir).to_pylist()}
    assert found == {(feature, str(prompt)): prompt + feature for _, feature in FEATURES for prompt in range(6)}


def test_an_export_says_what_the_sweep_says(exported):
    both, alone = exported
    sweep, study = read_earlier(both), read_earlier(alone)
    assert study.kind == "study"
    assert study.repeated.num_rows == 0
    own = study.responses.to_pylist()
    # A baseline stands under every feature in the study's files.
    wanted = sorted(
        (layer, feature, row["condition"], row["prompt"], row["response"], row["amount"] or 0.0)
        for row in sweep.responses.to_pylist()
        if row["arm"] != "ablate"
        for layer, feature in (FEATURES if row["feature"] < 0 else [(row["layer"], row["feature"])])
    )
    keys = ("layer", "feature", "condition", "prompt", "response", "amount")
    assert sorted(tuple(row[key] or (0.0 if key == "amount" else row[key]) for key in keys) for row in own) == wanted
    for name in ("is_causal_safe", "is_causal_risky", "effect_safe", "p_risky"):
        assert study.features[name].to_pylist() == sweep.features[name].to_pylist()
    assert study.features["cohen_d"].to_pylist() == [0.7, -1.2]
    assert study.about["n_trials_per_condition"] == 24


def test_checkpoints_that_are_not_of_the_sweep_beside_it_are_refused(exported):
    both, _ = exported
    path = next(both.glob("checkpoint_*"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sweep": "0" * 64}))
    with pytest.raises(ValueError, match=r"more than one study .checkpoint_.* is no export of the sweep whose trials"):
        read_earlier(both)


def test_effects_that_are_missing_or_damaged_are_refused(workdir, tmp_path):
    copy = shutil.copytree(workdir, tmp_path / "copy")
    with (copy / "trials.parquet").open("r+b") as file:
        file.seek(100)
        file.write(b"damage")
    with pytest.raises(ValueError, match=r"trials.parquet: corrupted"):
        read_earlier(copy)
    shutil.copy(workdir / "trials.parquet", copy)
    (copy / "effects.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"effects.parquet: no such file; run the command of the sweep again"):
        read_earlier(copy)
