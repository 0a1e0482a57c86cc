"""Rows as sections show them: with their types where there are none, and put in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Columns that `charts.intervals` reads.
INTERVALS: Mapping[str, type] = {"label": str, "kind": str, "value": float, "low": float, "high": float}
_KINDS = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}


def typed(rows: Iterable[Mapping[str, Any]], **kinds: type) -> pa.Table:
    """Rows as a table of these columns, which have their types where there are no rows."""
    schema = pa.schema([(name, _KINDS[kind]) for name, kind in kinds.items()])
    return pa.Table.from_pylist([{name: row.get(name) for name in kinds} for row in rows], schema)


def plain(table: pa.Table) -> pa.Table:
    """The same with texts as texts, whether or not the file keeps a list of them."""
    fields = [field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in table.schema]
    return table.cast(pa.schema(fields))


def by_size(table: pa.Table, column: str, first: str = "") -> pa.Table:
    """The largest of a column first, whatever their sign; rows where `first` is true before all others."""
    sizes = np.nan_to_num(np.abs(pc.cast(table[column], pa.float64()).to_numpy().astype(np.float64)))
    keys = [-sizes]
    if first:
        keys.append(~pc.fill_null(table[first], False).to_numpy(zero_copy_only=False).astype(bool))
    return table.take(np.lexsort(keys))


def feature(layer: int, number: int) -> str:
    """A feature's name."""
    return f"L{layer}-{number}"


def with_interval(value: Any, low: Any, high: Any, form: str = ".3g") -> str:
    """A number with its interval, "unknown" where there is none."""
    if value is None or value != value:
        return "unknown"
    known = all(end is not None and end == end for end in (low, high))
    return f"{value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if known else "")


def count(number: int, thing: str) -> str:
    """How many of a thing, in words."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def share(part: int, whole: int, thing: str) -> str:
    """How many of how many."""
    return f"{part} of {count(whole, thing)}" if part else f"none of {count(whole, thing)}"


def headings(table: pa.Table, names: Mapping[str, str]) -> dict[str, str]:
    """Of some headings, those of columns that the table has."""
    return {name: title for name, title in names.items() if name in table.column_names}


def head(rows: Sequence[Any], most: int, things: str) -> str:
    """What a caption says where a chart leaves out rows; "" where it leaves out none."""
    return f" The {most} first of {len(rows)} {things} are drawn." if len(rows) > most else ""
