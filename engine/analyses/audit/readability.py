"""Whether answers could be read as often in every arm: the share of valid answers, as an outcome of its own.

A patch that garbles text makes answers unreadable, and a parser that takes those for stops makes a cause of it. Per
context, each arm against the baseline:

    difference = valid share of the arm - valid share of the baseline, with interval and p; q over all arms

What is counted as one observation: prompts, where a context has ten or more; else features, where each has a baseline
of its own; else trials (Newcombe's interval and Fisher's test, all features' trials together).

Shapes: one row an (arm, context). Cost: one pass over the rows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.patch_sweep.arms import BASELINE
from causeway.engine.earlier_results import EVERY
from causeway.engine.stats.multiple import adjust
from causeway.engine.stats.paired import FEWEST_PROMPTS, paired_mean
from causeway.engine.stats.proportions import CountPair, exact_test, risk_difference


def readability(responses: pa.Table) -> list[dict[str, Any]]:
    """The valid share of every arm and context, and how it differs from the baseline's.

    Args:
        responses: `RESPONSES`; rows whose `valid` is null are left out.

    Returns:
        Rows {context, arm, trials, valid, difference, low, high, p, q, unit}; baselines, and arms without one, have no
        difference.
    """
    known = responses.filter(pc.is_valid(responses["valid"]))
    plain = pa.table({
        "context": known["context"].cast(pa.string()), "arm": known["arm"].cast(pa.string()),
        "prompt": known["prompt"].cast(pa.string()), "layer": known["layer"], "feature": known["feature"],
        "valid": known["valid"].cast(pa.float64()),
    })  # fmt: skip
    keys = ["context", "arm", "prompt", "layer", "feature"]
    cells = plain.group_by(keys).aggregate([("valid", "sum"), ("valid", "count")])
    rows = [row for context in sorted(set(cells["context"].to_pylist())) for row in _context(cells, context)]
    q = adjust(np.array([np.nan if row["p"] is None else row["p"] for row in rows])).q
    return [row | {"q": None if np.isnan(value) else float(value)} for row, value in zip(rows, q, strict=True)]


def _context(cells: pa.Table, context: str) -> Iterator[dict[str, Any]]:
    """The arms of one context, the baseline first."""
    own = cells.filter(pc.equal(cells["context"], context))
    tables = {arm: own.filter(pc.equal(own["arm"], arm)) for arm in sorted(set(own["arm"].to_pylist()))}
    baseline = tables.pop(str(BASELINE), None)
    none = {"difference": None, "low": None, "high": None, "p": None, "unit": None}
    if baseline is not None:
        yield _share(context, str(BASELINE), baseline) | none
    for arm, table in tables.items():
        yield _share(context, arm, table) | (none if baseline is None else _difference(baseline, table))


def _share(context: str, arm: str, cells: pa.Table) -> dict[str, Any]:
    valid, trials = (int(pc.sum(cells[name]).as_py()) for name in ("valid_sum", "valid_count"))
    return {"context": context, "arm": arm, "trials": trials, "valid": valid / trials}


def _difference(baseline: pa.Table, cells: pa.Table) -> dict[str, Any]:
    prompts = [_by(table, ["prompt"]) for table in (baseline, cells)]
    features = [_by(table, ["layer", "feature"]) for table in (baseline, cells)]
    shared = EVERY in baseline["feature"].to_pylist()
    for unit, (first, second), usable in (("prompt", prompts, True), ("feature", features, not shared)):
        both = sorted(first.keys() & second.keys())
        if not usable or len(both) < FEWEST_PROMPTS:
            continue
        found = paired_mean(np.array([[second[key] - first[key] for key in both]]))
        if not np.isnan(found.p[0]):
            numbers = (found.effect, found.low, found.high, found.p)
            return {**_numbers(*(column[0] for column in numbers)), "unit": unit}
    k_1, n_1, k_2, n_2 = (
        np.array([int(pc.sum(table[name]).as_py())])
        for table in (baseline, cells)
        for name in ("valid_sum", "valid_count")
    )
    table = CountPair(k_1, n_1, k_2, n_2)
    return {**_numbers(*(c[0] for c in (*risk_difference(table), exact_test(table)))), "unit": "trial"}


def _numbers(difference: float, low: float, high: float, p: float) -> dict[str, float]:
    return {"difference": float(difference), "low": float(low), "high": float(high), "p": float(p)}


def _by(cells: pa.Table, keys: list[str]) -> dict[tuple, float]:
    """The valid share of each unit."""
    grouped = cells.group_by(keys).aggregate([("valid_sum", "sum"), ("valid_count", "sum")]).to_pylist()
    return {tuple(row[key] for key in keys): row["valid_sum_sum"] / row["valid_count_sum"] for row in grouped}
