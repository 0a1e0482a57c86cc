"""What is asked, from what people write: names of features, tables of targets and of values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.features import EXPLICIT
from causeway.engine.analyses.pathways.passes import Nodes
from causeway.engine.analyses.screen.values import whole_numbers
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.earlier_results import parse_feature_name

ZERO = "0"


def named_feature(text: str, where: str) -> tuple[int, int]:
    """Layer and feature of a name such as L26-1069.

    Raises:
        ValueError: another text.
    """
    try:
        return parse_feature_name(text)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix('feature: ')}") from None


def target_nodes(targets: Any, dictionary: Dictionary, where: str = "targets") -> Nodes:
    """Targets, each once, in order.

    Args:
        targets: names, (layer, feature) pairs, or a table or rows with layer and feature.

    Raises:
        ValueError: none, something else, features that the dictionaries lack, or none with a dictionary below it.
    """
    pairs = sorted(set(_pairs(targets, where)))
    if not pairs:
        raise ValueError(f"{where}: empty; needs one feature at least")
    found = Nodes.of(pairs)
    found.check(dictionary, where)
    lowest = min(dictionary.config.layers)
    if not (found.layer > lowest).any():
        raise ValueError(f"{where}: all of layer {lowest}, the lowest with a dictionary; needs some above it")
    return Nodes.of([pair for pair in pairs if pair[0] > lowest])


def _pairs(targets: Any, where: str) -> list[tuple[int, int]]:
    if isinstance(targets, pa.Table) and {"layer", "feature"} <= set(targets.column_names):
        columns = [whole_numbers(targets, column).tolist() for column in ("layer", "feature")]
        return list(zip(*columns, strict=True))
    if isinstance(targets, str | bytes | Mapping) or not isinstance(targets, Sequence):
        raise ValueError(
            f"{where}: got {scalars.shown(targets)}; needs names (L26-1069), (layer, feature) pairs, or a table with "
            "layer and feature"
        )
    return [_pair(target, where) for target in targets]


def _pair(target: Any, where: str) -> tuple[int, int]:
    if isinstance(target, str):
        return named_feature(target, where)
    if isinstance(target, Mapping) and {"layer", "feature"} <= target.keys():
        target = (target["layer"], target["feature"])
    numbers = scalars.integers(target, f"{where}: layer and feature")
    if numbers.shape != (2,):
        raise ValueError(f"{where}: got {scalars.shown(target)}; needs a layer and a feature")
    return int(numbers[0]), int(numbers[1])


def planned_values(table: pa.Table, set_to: str, where: str = "set_to") -> pa.Table | None:
    """What sources are set to: None for 0, or the features of a table that have a value of that group.

    Raises:
        ValueError: the table has no such column, or no value in it.
    """
    if set_to == ZERO:
        return None
    if EXPLICIT + set_to not in table.column_names:
        known = [name.removeprefix(EXPLICIT) for name in table.column_names if name.startswith(EXPLICIT)]
        raise ValueError(
            f"{where}: got {set_to!r}; needs {ZERO}, or a group of the table's value_GROUP columns: "
            f"{', '.join(known) or 'it has none'}"
        )
    values = table[EXPLICIT + set_to].cast(pa.float64()).to_numpy(zero_copy_only=False)
    known_values = np.isfinite(values)
    if not known_values.any():
        raise ValueError(f"{where}: the table has no number in value_{set_to}; give another group or {ZERO}")
    return pa.table({
        "layer": whole_numbers(table, "layer")[known_values], "feature": whole_numbers(table, "feature")[known_values],
        "value": values[known_values],
    })  # fmt: skip
