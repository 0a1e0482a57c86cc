"""What an intervention run writes for each behaviour, under the names of the circuit pipeline's document.

{behaviour}/intervention_ablation_{behaviour}.csv             one line an intervention
{behaviour}/intervention_ablation_{behaviour}_summary.json    means over prompts, predictions against effects
{behaviour}/intervention_patching_{behaviour}.csv, _summary.json
{behaviour}/feature_importance_layer_{layer}.csv              one line a feature that was tested
"""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine.circuits.importance import LayerImportance
from causeway.engine.circuits.results import InterventionResult
from causeway.engine.sweep import durable

FAMILIES = ("ablation", "patching")
_RESULT = [field.name for field in dataclasses.fields(InterventionResult)]
_IMPORTANCE = ("feature", "correlation", "p", "q", "mean_activation", "active_prompts", "prompts")


def write_results(folder: Path, behaviour: str, family: str, results: Iterable[InterventionResult]) -> Path:
    """Every intervention of a behaviour; lists as JSON, empty where a number does not apply."""
    path = folder / f"intervention_{family}_{behaviour}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with durable.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_RESULT)
        for result in results:
            values = (getattr(result, name) for name in _RESULT)
            writer.writerow([json.dumps(value) if isinstance(value, list) else value for value in values])
    return path


def write_summary(folder: Path, behaviour: str, family: str, summary: dict[str, Any]) -> Path:
    """Means over prompts; written last, numbers that are not there as null."""
    path = folder / f"intervention_{family}_{behaviour}_summary.json"
    durable.write_bytes(path, (json.dumps(_json(summary), indent=1) + "\n").encode())
    return path


def write_importance(folder: Path, layers: Sequence[LayerImportance]) -> list[Path]:
    """A file a layer, the strongest correlation first; features that were not tested are left out."""
    paths = []
    for layer in layers:
        tested = np.flatnonzero(~np.isnan(layer.p))
        order = tested[np.argsort(-np.abs(layer.correlation[tested]), kind="stable")]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_IMPORTANCE)
        for f in order.tolist():
            numbers = (layer.correlation[f], layer.p[f], layer.q[f], layer.activation[f])
            writer.writerow([f, *map(float, numbers), int(layer.active[f]), layer.prompts])
        paths.append(folder / f"feature_importance_layer_{layer.layer}.csv")
        durable.write_bytes(paths[-1], text.getvalue().encode())
    return paths


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_json(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
