"""The study's files hold the study's conditions, its rule's decisions and every trial under its feature."""

import json

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.as_published.causal_rule import original_rule
from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store
from causeway.ports.results.study_export import check_study, export_study

GROUPS, FEATURES = ("safe", "risky"), ((3, 10), (5, 7))


@pytest.fixture(scope="module")
def trials():
    """Two prompts, two features, twelve trials, and an arm that the study had not."""
    rng, rows = np.random.default_rng(0), []
    for prompt, group in enumerate(GROUPS):
        cells = [(-1, -1, "baseline")]
        cells += [(*pair, arm) for pair in FEATURES for arm in ("patch:safe", "patch:risky", "ablate")]
        for layer, feature, arm in cells:
            for trial in range(12):
                action = str(rng.choice(["stop", "bet", "invalid"]))
                rows.append({
                    "prompt_id": prompt, "group": group, "layer": layer, "feature": feature, "arm": arm, "trial": trial,
                    "condition": Arm.parse(arm).condition(group), "action": action, "response": f"{action} {trial}",
                    "amount": 20.0 if action == "bet" else None,
                })  # fmt: skip
    return pa.Table.from_pylist(rows)


def finish(workdir, table):
    """A finished sweep whose trials are a table."""
    plan = Plan("patch_sweep", {}, {}, (table.num_rows,), Layout(table.schema))
    run_sweep(Store(workdir, plan), lambda unit: UnitResult(table))


@pytest.fixture(scope="module")
def exported(trials, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("export")
    finish(workdir, trials)
    screened = pa.table({"layer": [3, 5], "feature": [10, 7], "d": [0.7, -1.2], "q": [0.0, 0.1]})
    paths = export_study(workdir, screened, original_rule(trials))
    return paths, *(json.loads(path.read_text()) for path in paths)


def test_names_and_places_are_the_studys(exported):
    paths, *_ = exported
    assert paths[0].name.startswith("checkpoint_L3_5_0_")
    assert paths[1].name.startswith("responses_L3_5_0_")


def test_the_checkpoint_has_the_studys_fields(exported, trials):
    _, checkpoint, _ = exported
    assert checkpoint.keys() == {
        "timestamp", "gpu_id", "process_id", "layer_range", "features_tested", "n_trials_per_condition", "sweep",
        "results",
    }  # fmt: skip
    assert (checkpoint["layer_range"], checkpoint["features_tested"]) == ([3, 5], 2)
    assert checkpoint["n_trials_per_condition"] == 12
    one, two = checkpoint["results"]
    assert (one["feature"], one["layer"], one["feature_id"], one["cohen_d"]) == ("L3-10", 3, 10, 0.7)
    assert two["cohen_d"] == -1.2
    assert one["causality"].keys() == {
        "is_causal_safe", "is_causal_risky", "safe_effect_size", "risky_effect_size", "safe_p_value", "risky_p_value",
        "interpretation",
    }  # fmt: skip
    assert one["is_causal"] == (one["causality"]["is_causal_safe"] or one["causality"]["is_causal_risky"])
    decided = original_rule(trials).to_pylist()[0]
    assert one["causality"] == {name: decided[f"original_{name}"] for name in one["causality"]}


def test_every_trial_stands_under_its_feature_and_baselines_under_all(exported):
    _, _, responses = exported
    counts = {}
    for entry in responses:
        assert entry.keys() == {"feature", "condition", "prompt", "trial", "response", "parsed"}
        assert entry["parsed"]["valid"] == (entry["parsed"]["action"] != "invalid")
        assert entry["parsed"]["bet"] == (20.0 if entry["parsed"]["action"] == "bet" else None)
        assert entry["response"] == f"{entry['parsed']['action']} {entry['trial']}"
        key = entry["feature"], entry["condition"]
        counts[key] = counts.get(key, 0) + 1
    six = [Arm.parse(arm).condition(g) for g in GROUPS for arm in ("baseline", "patch:safe", "patch:risky")]
    assert counts == {(feature, condition): 12 for feature in ("L3-10", "L5-7") for condition in six}


@pytest.mark.parametrize(
    ("arms", "groups", "message"),
    [
        (("baseline", "patch:safe", "patch:risky"), ("calm", "chasing"), "groups calm, chasing; .* need risky, safe"),
        (("baseline", "patch:safe"), ("safe", "risky"), "arms baseline, patch:safe; .* need patch:risky"),
    ],
)
def test_a_sweep_without_the_studys_conditions_is_refused_beforehand(arms, groups, message):
    with pytest.raises(ValueError, match=message):
        check_study(arms, groups)


def test_a_sweep_with_more_than_the_studys_conditions_is_let_through():
    check_study(("ablate", "baseline", "patch:risky", "patch:safe"), ("other", "risky", "safe"))
