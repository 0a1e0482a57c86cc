"""The columns of a trials table: row by row what was done and what came of it."""

import numpy as np
import pyarrow as pa

from causeway.engine.analyses.patch_sweep.cells import OTHER
from causeway.engine.analyses.patch_sweep.design import Rows
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.tokenized_prompt import TokenizedPrompt

_WHAT = [
    ("prompt_id", pa.int32()), ("group", pa.string()), ("layer", pa.int32()), ("feature", pa.int32()),
    ("arm", pa.string()), ("condition", pa.string()), ("trial", pa.int32()), ("writer", pa.int32()),
    ("scale", pa.float32()), ("shift", pa.float32()), ("value_before", pa.float32()), ("value_set", pa.float32()),
    ("edits_applied", pa.int32()),
]  # fmt: skip


def exact_schema(labels: tuple[str, ...]) -> pa.Schema:
    """Columns of exact trials: what was done, then probabilities and the expected amount."""
    outcome = [(f"p_{label}", pa.float64()) for label in labels]
    return pa.schema([*_WHAT, *outcome, (OTHER, pa.float64()), ("expected_amount", pa.float64())])


def sampled_schema() -> pa.Schema:
    """Columns of sampled trials: what was done, the row of `activations.zarr`, action, amount, text and token ids."""
    outcome = [("action", pa.string()), ("amount", pa.float64()), ("response", pa.string())]
    return pa.schema([*_WHAT, ("array_row", pa.int64()), *outcome, ("tokens", pa.list_(pa.int32()))])


def forced_schema() -> pa.Schema:
    """Columns of trials whose tokens were given: what was done, the row of `activations.zarr`, and the token ids."""
    return pa.schema([*_WHAT, ("array_row", pa.int64()), ("tokens", pa.list_(pa.int32()))])


def row_name(prompt: TokenizedPrompt, rows: Rows, row: int) -> str:
    """How an error names one row."""
    arm, layer = rows.arms[rows.arm[row]], rows.layer[row]
    edit = "" if layer == EMPTY else f" of layer {layer} feature {rows.feature[row]}"
    return f"prompt {prompt.number}, arm {arm}{edit}"


def what_was_done(
    prompt: TokenizedPrompt, rows: Rows, before: np.ndarray, after: np.ndarray, applied: np.ndarray
) -> dict:
    """The columns that all outcomes share.

    Args:
        before, after, applied: [rows, tokens, slots]; the table keeps the values at the first token edited, and how
            often an edit acted.
    """
    flat = applied.reshape(len(rows), -1)
    first = flat.argmax(axis=1)[:, None]
    kept = [np.take_along_axis(a.reshape(len(rows), -1), first, axis=1)[:, 0] for a in (before, after)]
    arms = [rows.arms[i] for i in rows.arm]
    return {
        "prompt_id": np.full(len(rows), prompt.number, np.int32),
        "group": [prompt.record.group] * len(rows),
        "layer": rows.layer, "feature": rows.feature,
        "arm": list(map(str, arms)), "condition": [arm.condition(prompt.record.group) for arm in arms],
        "trial": rows.trial, "writer": rows.writer, "scale": rows.scale, "shift": rows.shift,
        "value_before": kept[0].astype(np.float32), "value_set": kept[1].astype(np.float32),
        "edits_applied": flat.sum(axis=1).astype(np.int32),
    }  # fmt: skip
