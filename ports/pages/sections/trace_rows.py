"""Recorded values of some features while the model wrote, arms side by side: rows of a finished sampled sweep.

Of each group the first prompt, of it the first rollout: arms share their random numbers, so that lines part where the
edit makes them. Values lie in `activations.zarr` (`engine.sweep.store`), one shard a unit; only the rows that are shown
are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.sweep.store import Store, finished_store

COLUMNS = ("prompt_id", "group", "layer", "feature", "arm", "trial", "array_row", "response")
SHOWN_ARMS = ("baseline", "noop", "patch", "ablate")
SCHEMA = pa.schema([
    ("place", pa.int32()), ("label", pa.string()), ("arm", pa.string()), ("step", pa.int32()),
    ("value", pa.float64()), ("response", pa.string()),
])  # fmt: skip


def recorded(plan: Mapping[str, Any]) -> bool:
    """Whether a sweep recorded feature values."""
    return "values" in plan.get("layout", {}).get("arrays", {})


def trace_rows(folder: Path, features: Sequence[tuple[int, int]]) -> pa.Table:
    """A row for each small chart, arm and step.

    Args:
        folder: of the sweep. features: layer and feature of each; those that were not recorded are left out.

    Raises:
        ValueError: a file of the sweep is damaged. FileNotFoundError: one is missing.
    """
    store = finished_store(folder, "trials", "patch_sweep")
    trials = pq.read_table(folder / "trials.parquet", columns=list(COLUMNS), filters=[("trial", "==", 0)])
    found: list[dict[str, Any]] = []
    place = 0
    for pair in features:
        for group, rows in _first_prompts(trials, pair):
            label = f"{pair[0]}/{pair[1]}, {group}, prompt {rows[0]['prompt_id']}"
            lines = [line for row in rows for line in _line(store, row, pair)]
            found += [{"place": place, "label": label, **line} for line in lines]
            place += bool(lines)
    return pa.Table.from_pylist(found, SCHEMA)


def responses(rows: pa.Table) -> pa.Table:
    """The text of each rollout of `trace_rows`, once."""
    return rows.filter(pc.equal(rows["step"], 0)).select(["label", "arm", "response"])


def _first_prompts(trials: pa.Table, pair: tuple[int, int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Of each group its name, and the rows of its first prompt that are of a feature or of none."""
    rows = [
        row
        for row in trials.to_pylist()
        if (row["layer"], row["feature"]) in (pair, (-1, -1)) and Arm.parse(row["arm"]).kind in SHOWN_ARMS
    ]
    for group in sorted({row["group"] for row in rows}):
        first = min(row["prompt_id"] for row in rows if row["group"] == group)
        yield group, [row for row in rows if row["prompt_id"] == first]


def _line(store: Store, row: Mapping[str, Any], pair: tuple[int, int]) -> list[dict[str, Any]]:
    """The values of a feature in one rollout, up to its end."""
    about = store.plan.layout.arrays["values"].attributes
    if pair[0] not in about["layers"]:
        return []
    layer = about["layers"].index(pair[0])
    values = _read(store, "values", row)[:, layer]
    if "ids" in store.plan.layout.arrays:
        ids = _read(store, "ids", row)[:, layer]
    else:
        ids = np.broadcast_to(
            about["features"][layer] if "features" in about else np.arange(values.shape[1]), values.shape
        )
    if "ids" not in store.plan.layout.arrays and pair[1] not in ids:
        return []
    # Of the strongest only: one that is not among them is smaller than all of them.
    own = np.where(ids == pair[1], values, 0).sum(axis=1)
    steps = np.flatnonzero(_read(store, "valid", row))
    return [{"arm": row["arm"], "step": int(i), "value": float(own[i]), "response": row["response"]} for i in steps]


def _read(store: Store, name: str, row: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(store.array(name)[row["array_row"]].read().result())
