"""Rows of a unit as one Parquet file, and their merge in unit order.

Parquet bytes are a function of the rows, the schema and the writer's settings. The settings are fixed here and no
time or host enters a file, so a unit computed twice gives equal bytes. Pages carry checksums. The merged table has one
row group per unit and is written in one pass that holds one unit at a time and hashes what it writes.
"""

import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from causeway.engine.sweep import durable

_SETTINGS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "use_dictionary": True,
    "write_statistics": True,
    "write_page_checksum": True,
}


def as_table(rows: pa.Table | Mapping[str, Any], schema: pa.Schema, count: int) -> pa.Table:
    """The unit's rows in the plan's schema, as one chunk per column (chunking would change the bytes).

    Args:
        rows: a table or columns by name.
        schema: the plan's columns.
        count: rows that the plan gives to the unit.

    Raises:
        ValueError: a missing or unknown column, a value that does not fit its column, or another number of rows.
    """
    names = set(rows.column_names if isinstance(rows, pa.Table) else rows)
    missing, unknown = sorted(set(schema.names) - names), sorted(names - set(schema.names))
    if missing or unknown:
        raise ValueError(f"rows: missing columns {missing}, unknown columns {unknown}; give exactly those of the plan")
    columns = [_column(rows[field.name], field) for field in schema]
    lengths = {field.name: len(column) for field, column in zip(schema, columns, strict=True)}
    wrong = {name: length for name, length in lengths.items() if length != count}
    if wrong:
        raise ValueError(f"rows: columns of length {wrong}, the plan gives this unit {count} rows; return all of them")
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks()


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table whole, durably, in place of what is there."""
    with durable.replacing(path) as temporary:
        pq.write_table(table, temporary)


def nan_as_null(values: Float[np.ndarray, " rows"]) -> pa.Array:
    """Numbers as a column, null where they are NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def encode(table: pa.Table) -> bytes:
    """Parquet bytes of one unit, one row group."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=table.num_rows, **_SETTINGS)
    return sink.getvalue().to_pybytes()


def merge(sources: Iterable[pa.Table], path: Path, schema: pa.Schema) -> str:
    """Writes one row group per source, in order, durably and atomically; holds one source at a time.

    Returns:
        The sha256 of the file.
    """
    with durable.replacing(path) as temporary:
        with _Hashed(temporary, "w") as file, pq.ParquetWriter(file, schema, **_SETTINGS) as writer:
            for table in sources:
                writer.write_table(table, row_group_size=table.num_rows)
        return file.digest.hexdigest()


class _Hashed(io.FileIO):
    """A file that knows the sha256 of what was written to it, from its start to its end."""

    def __init__(self, path: Path, mode: str):
        super().__init__(path, mode)
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        """Writes all of it."""
        view = memoryview(data).cast("B")
        self.digest.update(view)
        left = view
        while left.nbytes:
            left = left[super().write(left) :]
        return view.nbytes


def _column(values: Any, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            column = values.cast(field.type)
        else:
            column = pa.array(values, type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"rows: column {field.name} is not {field.type} ({_one_line(error)})") from error
    if column.null_count and not field.nullable:
        raise ValueError(f"rows: column {field.name} has {column.null_count} nulls, the plan allows none")
    return column


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
