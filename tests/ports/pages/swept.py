"""A patching sweep's results without a model: simulated trials, and effects and summary as the command makes them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine.analyses.patch_sweep.arms import make_arms
from causeway.engine.analyses.patch_sweep.effects import effects
from causeway.engine.analyses.patch_sweep.sweep_summary import summarise
from causeway.engine.sweep.layout import Layout
from causeway.engine.sweep.plan import Plan

FEATURES = [(layer, feature) for layer in (0, 1, 2) for feature in range(3, 10)]
ARMS = ("baseline", "noop", "patch", "ablate", "random", "dose")


def trials(prompts=40, seed=0, moved=((2, 7),)):
    """Exact trials of p_stop and p_bet, where some features move p_bet by the dose."""
    draw, rows = np.random.default_rng(seed), []
    for prompt in range(prompts):
        group, level = ("safe", "risky")[prompt % 2], draw.uniform(0.3, 0.5)
        for layer, feature in FEATURES:
            for arm in make_arms(ARMS, ("safe", "risky")):
                push = {"patch": arm.dose, "dose": arm.dose}.get(arm.kind, 0.0) * (arm.value == "risky")
                noise = draw.normal(0, 0.01) if arm.of_features else 0.0
                bet = level + noise + 0.3 * push * ((layer, feature) in moved)
                rows.append((prompt, group, layer, feature, str(arm), 1 - bet, bet))
    names = ("prompt_id", "group", "layer", "feature", "arm", "p_stop", "p_bet")
    return pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


def write_plan(folder, units=4, done=4, model="bundled:tiny"):
    """plan.json, and the manifests of finished units."""
    table = pa.schema([("prompt_id", pa.int32())])
    folder.mkdir(parents=True, exist_ok=True)
    config = {"settings": {"outcome": "exact", "scope": "last_prompt"}}
    Plan("patch_sweep", config, {"weights": "0" * 64}, (2,) * units, Layout(table, "trials"), {"model": model}).write(
        folder
    )
    (folder / "units").mkdir(exist_ok=True)
    for unit in range(done):
        (folder / "units" / f"{unit:05}.json").write_text("{}")


def write_sweep(folder, table=None, **about):
    """The folder of a finished sweep."""
    write_plan(folder)
    table = trials() if table is None else table
    found = effects(table)
    pq.write_table(found, folder / "effects.parquet")
    summary = {
        "edits": {"scope": "last_prompt", "operation": "set"},
        **summarise(pa.dataset.dataset(table), found),
        **about,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
