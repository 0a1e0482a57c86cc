"""Patch values from a screening table: what a feature is set to, group by group.

    mean          the group's mean, zeros included (what the original study used; rarely a value the feature takes)
    mean_active   the mean of the values above zero
    q10 ... q90   a quantile of the values above zero
    explicit      numbers given by name of the group

A feature that never fired in a group has no mean over active there; its value in that group is 0, which is what it had.
Shapes: values [N] for each group, N rows of the table. Values are in the dictionary's own scale.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.analyses.screen import table as screen


@dataclasses.dataclass(frozen=True)
class FeatureValues:
    """Values to patch, one for each feature and group.

    Attributes:
        layer, feature: [N].
        values: group name -> [N].
    """

    layer: Int[np.ndarray, " N"]
    feature: Int[np.ndarray, " N"]
    values: Mapping[str, Float[np.ndarray, " N"]]


def feature_values(table: pa.Table, rule: str | Mapping[str, float]) -> FeatureValues:
    """Patch values of every row of a screening table (take the rows wanted first).

    Args:
        table: made by `screen_table`, or with the same columns.
        rule: "mean", "mean_active", a recorded quantile such as "q90", or {group: number}.

    Raises:
        ValueError: an unknown rule, or a table without the columns the rule reads.
    """
    layer, feature = (table[name].to_numpy() for name in ("layer", "feature"))
    if not isinstance(rule, str):
        return FeatureValues(layer, feature, {name: np.full(len(layer), float(v)) for name, v in rule.items()})
    rules = ("mean", "mean_active", *(f"q{round(100 * q):02d}" for q in screen.QUANTILES))
    if rule not in rules:
        raise ValueError(f"value: got {rule!r}; needs one of {', '.join(rules)}, or one number for each group")
    groups = groups_of(table)
    missing = [f"{rule}_{name}" for name in groups if f"{rule}_{name}" not in table.column_names]
    if missing or not groups:
        what = f"the column {missing[0]}" if missing else "groups' means"
        raise ValueError(
            f"features: the table has not {what}, which value {rule!r} reads; take the table of screen, or give each "
            "feature its values in columns value_<group>, or all of them one with --value=<group>=NUMBER,..."
        )
    columns = {name: numbers(table, f"{rule}_{name}") for name in groups}
    return FeatureValues(layer, feature, {name: np.nan_to_num(v, nan=0.0) for name, v in columns.items()})


def groups_of(table: pa.Table) -> list[str]:
    """The groups that a screening table compares; none of other tables."""
    return [name.removeprefix("n_") for name in table.column_names if name.startswith("n_")]


def strongest(table: pa.Table, per_layer: int) -> pa.Table:
    """The testable rows of a `screen_table` with the largest |d| of each layer, at most `per_layer`, in order of layer
    and then |d|."""
    d = np.abs(table["d"].to_numpy().astype(np.float64))
    q = table["q"].to_numpy().astype(np.float64)
    layer, feature = table["layer"].to_numpy(), table["feature"].to_numpy()
    kept = np.flatnonzero(~np.isnan(q) & ~np.isnan(d))
    order = kept[np.lexsort((feature[kept], -d[kept], layer[kept]))]
    first = np.searchsorted(layer[order], layer[order], side="left")
    return table.take(order[np.arange(len(order)) - first < per_layer])


def whole_numbers(table: pa.Table, name: str) -> Int[np.ndarray, " N"]:
    """A column of ids, checked in the width that it came in: one of 64 bits is refused, not narrowed into another.

    Raises:
        ValueError: entries that are missing or not whole numbers.
    """
    column = table[name]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) or column.null_count:
        missing = f" with {column.null_count} missing" if column.null_count else ""
        raise ValueError(f"features: column {name} is {column.type}{missing}; needs whole numbers")
    return scalars.integers(column.to_numpy(), f"features: column {name}")


def numbers(table: pa.Table, name: str) -> Float[np.ndarray, " N"]:
    """A column of numbers, NaN where they are missing.

    Raises:
        ValueError: a column of something else.
    """
    column = table[name]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise ValueError(f"features: column {name} is {column.type}; needs numbers")
    return column.to_numpy().astype(np.float64)
