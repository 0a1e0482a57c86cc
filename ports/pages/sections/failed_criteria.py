"""Why a feature is not called causal: the criteria that an effect fails, in words and with their bounds."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from causeway.engine.analyses.patch_sweep.causal_rule import CausalRule

Row = Mapping[str, Any]


def failed_criteria(rows: pa.Table, rule: CausalRule, outcome: str) -> pa.Array:
    """A text a row: what fails, joined by semicolons; "" where nothing does.

    Args:
        rows: of the effects table, of this outcome. rule: by which they were decided.
    """
    said = _sayings(rule, outcome)
    there = [name for name in said if f"criterion_{name}" in rows.column_names]
    texts = [
        "; ".join(said[name](row) for name in there if row[f"criterion_{name}"] is False) for row in rows.to_pylist()
    ]
    return pa.array(texts, pa.string())


def _sayings(rule: CausalRule, outcome: str) -> dict[str, Callable[[Row], str]]:
    least = rule.threshold(outcome)
    return {
        "q": lambda row: f"q {row['q']:.2g} ≥ {rule.alpha:g}",
        "effect": lambda row: _size(row, least),
        "envelope": lambda row: f"size {abs(row['effect']):.3g} ≤ random reach {row['envelope']:.3g}",
        "sign": lambda _: "sign differs between groups",
        "dose": lambda row: f"dose: rank correlation {abs(row['dose_rho']):.2g} < {rule.least_rho:g}",
    }


def _size(row: Row, least: float) -> str:
    if abs(row["effect"]) <= least:
        return f"size {abs(row['effect']):.3g} ≤ {least:g}"
    return "interval holds 0, or the sign is not that of the half that chose"
