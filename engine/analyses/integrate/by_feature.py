"""Rows of the tables by feature: what was found of each, and how much was looked at.

Found is what its own analysis holds true at `alpha`: a validated pathway, an effect, text or outcome with q < alpha.
Rows beyond are counted, as what was looked at, and left out. Cost: sorts of the tables, O(rows log rows).
"""

import collections
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.integrate.inputs import DOWNSTREAM, STAGES, Inputs
from causeway.engine.earlier_results import feature_name, parse_feature_name

# (layer, number)
Feature = tuple[int, int]
Rows = Mapping[Feature, list[dict[str, Any]]]
UNITS = ("token", "word", "word_group")
DIRECTIONS = ("adds", "removes")
# Of the mean size of a source's changes, the least that their mean must be for a quotient by it.
LEAST_MOVED = 0.25
# Between the features of a chain.
ARROW = " -> "


def name_of(feature: Feature) -> str:
    """As the study writes it: L26-1069."""
    return feature_name(*feature)


def features_of(path: str) -> tuple[Feature, ...]:
    """Those that a chain names, the first cause first.

    Raises:
        ValueError: it names something else.
    """
    return tuple(parse_feature_name(name) for name in path.split(ARROW))


def all_features(inputs: Inputs) -> dict[Feature, set[str]]:
    """Every feature of any table, with the names of its stages; baselines (-1) are none."""
    found: dict[Feature, set[str]] = collections.defaultdict(set)
    for name, table in inputs.tables.items():
        stage = STAGES[name]
        ends = [end for end in ("", "source_", "target_") if f"{end}layer" in table.column_names]
        for end in ends:
            columns = [f"{end}layer", f"{end}feature"]
            unique = table.select(columns).group_by(columns).aggregate([])
            for place in zip(*(unique[column].to_pylist() for column in columns), strict=True):
                if place[0] >= 0:
                    found[place].add(stage)
        if name == "chains":
            for path in table["path"].to_pylist():
                for place in features_of(path):
                    found[place].add(stage)
    return dict(sorted(found.items()))


def grouped(table: pa.Table, end: str = "") -> Rows:
    """Rows by the feature at one end."""
    found: dict[Feature, list[dict[str, Any]]] = collections.defaultdict(list)
    for row in table.to_pylist():
        found[row[f"{end}layer"], row[f"{end}feature"]].append(row)
    return found


def counted(table: pa.Table, end: str = "") -> Mapping[Feature, int]:
    """How many rows each feature has."""
    columns = [f"{end}layer", f"{end}feature"]
    if not table.num_rows:
        return {}
    counts = table.select(columns).group_by(columns).aggregate([([], "count_all")])
    keys = zip(*(counts[column].to_pylist() for column in columns), strict=True)
    return dict(zip(keys, counts["count_all"].to_pylist(), strict=True))


def significant(table: pa.Table, alpha: float) -> pa.Table:
    """Rows with q < alpha; without a q none is. Of texts, whose p and interval differ in method, where both agree."""
    rows = table.filter(pc.less(table["q"].cast(pa.float64()), alpha))
    agreed = "interval_excludes_0" in rows.column_names
    return rows.filter(pc.fill_null(rows["interval_excludes_0"], False)) if agreed else rows


def pathways_found(inputs: Inputs, alpha: float) -> pa.Table:
    """Pathways that their own validation confirmed, at this alpha.

    Returns:
        Their rows with `drive`, the change of the target for each unit by which the source was changed: an effect of
        setting a source to 0 has the sign of what it loses, a drive that of what the source does. Null where prompts
        changed the source in opposite directions, which setting it to a group's value may do, so that little is left of
        their mean: below `LEAST_MOVED` of the mean size, the quotient would be of noise.
    """
    rows = significant(inputs.rows("pathways"), alpha)
    found = rows.filter(pc.fill_null(rows["validated"].cast(pa.bool_()), False))
    effect, change = (found[name].cast(pa.float64()) for name in ("effect", "source_change"))
    size = found["source_moved"].cast(pa.float64()) if "source_moved" in found.column_names else pc.abs(change)
    enough = pc.and_(pc.not_equal(change, 0.0), pc.greater_equal(pc.abs(change), pc.multiply(size, LEAST_MOVED)))
    moved = pc.if_else(enough, change, pa.scalar(None, pa.float64()))
    return found.append_column("drive", pc.divide(effect, moved))


def chains_found(inputs: Inputs, alpha: float) -> list[dict[str, Any]]:
    """Chains whose mediation was confirmed, at this alpha, the strongest first."""
    rows = significant(inputs.rows("chains"), alpha)
    return ordered(rows.filter(pc.fill_null(rows["confirmed"].cast(pa.bool_()), False)).to_pylist(), "mediated")


def replay_parts(inputs: Inputs) -> tuple[pa.Table, pa.Table]:
    """Effects downstream, and those that came through generated tokens."""
    table = inputs.rows("replay")
    downstream = pc.fill_null(pc.equal(table["route"].cast(pa.string()), DOWNSTREAM), False)
    return table.filter(downstream), table.filter(pc.invert(downstream))


def replay_found(table: pa.Table, alpha: float) -> pa.Table:
    """Rows of replay with q < alpha that it does not reject otherwise (not replicated, or within the null band)."""
    rows = significant(table, alpha)
    return rows.filter(pc.fill_null(rows["is_pathway"].cast(pa.bool_()), True))


def best_texts(associations: pa.Table, top: int) -> pa.Table:
    """The strongest texts of each feature, unit and direction, each text once, by p and then |z|.

    Args:
        associations: significant rows. top: texts kept.

    Returns:
        Their rows with `contrasts`, in how many contexts and contrasts the text was found; strongest first.
    """
    if not associations.num_rows:
        return associations.append_column("contrasts", pa.array([], pa.int64()))
    columns = ["layer", "feature", "unit", "direction"]
    p, z = (_numbers(associations[name]) for name in ("p", "z"))
    group, text = _codes(associations, columns), _codes(associations, [*columns, "text"])
    order = np.lexsort((-np.abs(z), p, group))
    # The first row of each text in this order stands for it.
    _, first, counts = np.unique(text[order], return_index=True, return_counts=True)
    kept = np.sort(first)
    counts = counts[np.argsort(first)]
    starts = np.flatnonzero(np.r_[True, np.diff(group[order][kept]) != 0])
    rank = np.arange(len(kept)) - np.repeat(starts, np.diff(np.r_[starts, len(kept)]))
    chosen = rank < top
    rows = associations.take(pa.array(order[kept][chosen]))
    return rows.append_column("contrasts", pa.array(counts[chosen]))


def ordered(rows: Iterable[dict[str, Any]], value: str) -> list[dict[str, Any]]:
    """Rows by q, then by the size of a value, the strongest first."""
    return sorted(rows, key=lambda row: (row["q"], -abs(row[value] or 0.0)))


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.nan_to_num(column.cast(pa.float64()).to_numpy(), nan=np.inf)


def _codes(table: pa.Table, columns: list[str]) -> np.ndarray:
    """A whole number for each combination of values."""
    found = np.zeros(table.num_rows, np.int64)
    for name in columns:
        column = table[name]
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        codes = pc.fill_null(plain.combine_chunks().dictionary_encode().indices, -1).to_numpy().astype(np.int64) + 1
        _, found = np.unique(found * (codes.max() + 1) + codes, return_inverse=True)
    return found
