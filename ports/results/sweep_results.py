"""A finished `patch_sweep` as earlier results: effects.parquet, trials.parquet, original_rule.parquet.

Sampled trials are responses, with the token ids that were drawn; a sweep of exact probabilities has none.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from causeway.engine import earlier_features
from causeway.engine.analyses.patch_sweep.cells import INVALID
from causeway.engine.earlier_results import EVERY, RESPONSES, TOKENS, VALUE
from causeway.engine.sweep.manifest import finished_table
from causeway.ports.files.parquet_files import read_parquet

TRIALS, EFFECTS, ORIGINAL = "trials.parquet", "effects.parquet", "original_rule.parquet"
_READ = (
    "layer", "feature", "group", "arm", "condition", "prompt_id", "trial", "response", "action", "amount", TOKENS,
)  # fmt: skip
_NAMES = {"group": "context", "prompt_id": "prompt"}


@dataclasses.dataclass(frozen=True)
class SweepResults:
    """What a workdir holds: `FEATURES` with values, `RESPONSES`, the files read and the sha256 of the trials."""

    features: pa.Table
    responses: pa.Table
    about: Mapping[str, Any]
    files: tuple[str, ...]
    sha256: str


def read(workdir: Path) -> SweepResults:
    """The results of a workdir.

    Raises:
        FileNotFoundError: the run is not finished, or its effects are not there.
        ValueError: a file is damaged.
    """
    trials = finished_table(workdir, "trials", "patch_sweep")
    effects = read_parquet(workdir / EFFECTS, missing="run the command of the sweep again, which writes it")
    there = (workdir / ORIGINAL).is_file()
    original = read_parquet(workdir / ORIGINAL) if there else None
    features = _with_values(earlier_features.of_effects(effects, EFFECTS, original), trials.path)
    sampled = "response" in pq.read_schema(trials.path).names
    responses = _responses(trials.path) if sampled else RESPONSES.empty_table()
    parts = trials.plan["parts"]
    about = {
        "outcome": "sampled" if sampled else "exact", "model": trials.plan["about"].get("model"),
        "model_fingerprint": parts["weights"], "dictionaries_fingerprint": parts["dictionaries"],
        "tokenizer": parts["tokenizer"],
    }  # fmt: skip
    files = (EFFECTS, TRIALS, *((ORIGINAL,) if there else ()))
    return SweepResults(features, responses, about, files, trials.sha256)


def _responses(path: Path) -> pa.Table:
    rows = pq.read_table(path, columns=list(_READ))
    table = rows.rename_columns([_NAMES.get(name, name) for name in _READ])
    valid = pc.not_equal(table["action"].cast(pa.string()), INVALID)
    source = pa.array([path.name]).dictionary_encode().take(pa.array([0] * table.num_rows, pa.int32()))
    table = table.append_column("valid", valid).append_column("source", source)
    columns = {field.name: _column(table[field.name], field.type) for field in RESPONSES}
    return pa.table(columns, RESPONSES).append_column(TOKENS, table[TOKENS])


def _column(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(kind):
        return values.cast(kind)
    return values.cast(pa.string()).dictionary_encode().cast(kind)


def _with_values(features: pa.Table, path: Path) -> pa.Table:
    """Further columns value_<group>, from the rows that set a feature to one value whatever the prompt."""
    patched = (pc.field("feature") != EVERY) & (pc.field("scale") == 0) & pc.starts_with(pc.field("arm"), "patch:")
    rows = pq.read_table(path, columns=["layer", "feature", "arm", "shift"], filters=patched)
    found = rows.group_by(["layer", "feature", "arm"]).aggregate([("shift", "min"), ("shift", "max")])
    values: dict[str, dict[tuple[int, int], float]] = {}
    for row in found.to_pylist():
        if row["shift_min"] == row["shift_max"]:
            name = VALUE + row["arm"].removeprefix("patch:")
            values.setdefault(name, {})[row["layer"], row["feature"]] = row["shift_min"]
    pairs = list(zip(features["layer"].to_pylist(), features["feature"].to_pylist(), strict=True))
    for name in sorted(values):
        column = pa.array([values[name].get(pair) for pair in pairs], pa.float64())
        features = features.append_column(name, column)
    return features


def read_activations(workdir: Path) -> pa.Table:
    """What each patched feature was on each prompt before it was set: layer, feature, prompt (its id), activation.

    Raises:
        FileNotFoundError, ValueError: as `read`.
    """
    path = finished_table(workdir, "trials", "patch_sweep").path
    patched = (pc.field("feature") != EVERY) & (pc.field("edits_applied") > 0)
    columns = ["layer", "feature", "prompt_id", "value_before"]
    rows = pq.read_table(path, columns=columns, filters=patched)
    found = rows.group_by(["layer", "feature", "prompt_id"]).aggregate([("value_before", "min")])
    named = found.rename_columns(["layer", "feature", "prompt", "activation"])
    return named.set_column(2, "prompt", named["prompt"].cast(pa.string()))
