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

from causeway.engine import scalars
from causeway.engine.analyses.intervene.importance import LayerImportance
from causeway.engine.analyses.intervene.results import InterventionResult
from causeway.engine.sweep import durable

FAMILIES = ("ablation", "patching")
_RESULT = [field.name for field in dataclasses.fields(InterventionResult)]
_IMPORTANCE = ("feature", "correlation", "score", "p", "q", "mean_activation", "active_prompts", "prompts")
_HELD_OUT = ("score", "low", "high", "p", "q")


def write_results(folder: Path, behaviour: str, family: str, results: Iterable[InterventionResult]) -> Path:
    """Every intervention of a behaviour; lists as JSON, empty where a number does not apply."""
    path = folder / f"intervention_{family}_{behaviour}.csv"
    durable.make_folder(folder)
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
    durable.write_bytes(path, (json.dumps(scalars.without_nan(summary), indent=1) + "\n").encode())
    return path


def write_importance(folder: Path, layers: Sequence[LayerImportance]) -> list[Path]:
    """A file a layer, the largest score first; features that were not tested are left out.

    With prompts held out, columns held_out_* of the features found; empty for the others.
    """
    paths = []
    for layer in layers:
        tested = np.flatnonzero(~np.isnan(layer.p))
        order = tested[np.argsort(-np.abs(layer.score[tested]), kind="stable")]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        apart = layer.held_out
        writer.writerow((*_IMPORTANCE, *(f"held_out_{name}" for name in (*_HELD_OUT, "prompts") if apart is not None)))
        for f in order.tolist():
            numbers = (layer.correlation[f], layer.score[f], layer.p[f], layer.q[f], layer.activation[f])
            row = [f, *map(float, numbers), int(layer.active[f]), layer.prompts]
            if apart is not None:
                again = [float(getattr(apart, name)[f]) for name in _HELD_OUT]
                row += [*("" if math.isnan(value) else value for value in again), apart.prompts]
            writer.writerow(row)
        paths.append(folder / f"feature_importance_layer_{layer.layer}.csv")
        durable.write_bytes(paths[-1], text.getvalue().encode())
    return paths
