"""The original study's result files, from a sweep's tables: `checkpoint_*.json` and `responses_*.json`.

    checkpoint   {timestamp, gpu_id, process_id, layer_range, features_tested, n_trials_per_condition, sweep, results: [
                    {feature: "L29-2374", layer, feature_id, cohen_d, is_causal, causality: {is_causal_safe,
                     is_causal_risky, safe_effect_size, risky_effect_size, safe_p_value, risky_p_value,
                     interpretation}}]}
    responses    [{feature, condition, prompt, trial, response, parsed: {action, bet, valid, response}}]

`causality` is what the study's own rule says (`original_rule.parquet` of the sweep), so that its readers find what they
expect, and `is_causal`, which others look for, whether it says so in either context; our decision is in
effects.parquet. Only the study's six conditions have a place in these files. The study had one prompt a context; of
several, the trials are numbered through, so that a feature, condition and trial name one response. `sweep` is the
sha256 of the trials that all this is made of.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from causeway.engine.analyses.patch_sweep.design import EVERY
from causeway.engine.earlier_results import ARMS, CONTEXTS, feature_name
from causeway.engine.sweep.durable import make_folder
from causeway.engine.sweep.manifest import finished_table
from causeway.ports.files.json_text import write_json


def check_study(arms: Iterable[str], groups: Iterable[str]) -> None:
    """Refuse, before a sweep is computed, one that has no place in the study's files.

    Args:
        arms, groups: names of the arms and of the prompts' groups that the sweep will have.

    Raises:
        ValueError: the study's arms or contexts are not among them.
    """
    for name, got, needed in (("arms", set(arms), ARMS), ("groups", set(groups), CONTEXTS)):
        if missing := set(needed) - got:
            raise ValueError(
                f"--export_study: got {name} {', '.join(sorted(got))}; the study's files also need "
                f"{', '.join(sorted(missing))}"
            )


def export_study(workdir: Path, features: pa.Table, decisions: pa.Table) -> list[Path]:
    """Write both files beside a finished sampled sweep.

    Args:
        workdir: of the sweep.
        features: the table its features came from; its column `d` becomes cohen_d.
        decisions: what the study's rule says of each feature.

    Returns:
        The files written.

    Raises:
        ValueError: the sweep has not the study's arms, contexts and sampled answers.
    """
    finished = finished_table(workdir, "trials", "patch_sweep")
    layers, ids = (decisions[name].to_pylist() for name in ("layer", "feature"))
    name = f"L{min(layers)}_{max(layers)}_0_{time.strftime('%Y%m%d_%H%M%S')}.json"
    rows = pyarrow.dataset.dataset(finished.path).to_table(
        filter=pc.field("arm").isin(ARMS) & pc.field("group").isin(CONTEXTS)
    )
    number = _numbered(rows)
    cohen_d = _cohen_d(features)
    checkpoint = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "gpu_id": 0,
        "process_id": 0,
        "layer_range": [min(layers), max(layers)],
        "features_tested": len(layers),
        "n_trials_per_condition": max(number.values()) + 1,
        "sweep": finished.sha256,
        "results": [_result(row, cohen_d) for row in decisions.to_pylist()],
    }
    responses = list(_responses(rows.to_pylist(), number, list(zip(layers, ids, strict=True))))
    return [
        _write(workdir / f"checkpoint_{name}", checkpoint),
        _write(workdir / "response_logs" / f"responses_{name}", responses),
    ]


def _cohen_d(features: pa.Table) -> dict[tuple[int, int], float]:
    if "d" not in features.column_names:
        return {}
    columns = (features[name].to_pylist() for name in ("layer", "feature", "d"))
    return {(layer, feature): d for layer, feature, d in zip(*columns, strict=True)}


def _write(path: Path, value: Any) -> Path:
    make_folder(path.parent)
    write_json(path, value)
    return path


def _result(row: dict, cohen_d: dict[tuple[int, int], float]) -> dict:
    causality = {key.removeprefix("original_"): value for key, value in row.items() if key.startswith("original_")}
    return {
        "feature": feature_name(row["layer"], row["feature"]),
        "layer": row["layer"],
        "feature_id": row["feature"],
        "cohen_d": cohen_d.get((row["layer"], row["feature"])),
        "is_causal": any(causality[f"is_causal_{context}"] for context in CONTEXTS),
        "causality": causality,
    }


def _numbered(rows: pa.Table) -> dict[tuple[int, int], int]:
    """(prompt, trial) -> a number of its own among the trials of its context."""
    each = rows.group_by(["group", "prompt_id", "trial"]).aggregate([]).to_pylist()
    keys = sorted((row["group"], row["prompt_id"], row["trial"]) for row in each)
    contexts = {group: [key[1:] for key in keys if key[0] == group] for group in CONTEXTS}
    return {trial: number for own in contexts.values() for number, trial in enumerate(own)}


def _responses(
    rows: list[dict], number: Mapping[tuple[int, int], int], features: list[tuple[int, int]]
) -> Iterable[dict]:
    """One entry a trial; a baseline trial stands under every feature, as in the study's files."""
    for row in rows:
        shared = row["feature"] == EVERY
        parsed = {
            "action": row["action"], "bet": row["amount"], "valid": row["action"] != "invalid",
            "response": row["response"],
        }  # fmt: skip
        for layer, feature in features if shared else [(row["layer"], row["feature"])]:
            yield {
                "feature": feature_name(layer, feature), "condition": row["condition"], "prompt": str(row["prompt_id"]),
                "trial": number[row["prompt_id"], row["trial"]], "response": row["response"], "parsed": parsed,
            }  # fmt: skip
