"""What the data of a sweep look like: one table, and any number of dense arrays with the same rows.

A unit u holds n_u rows (at most U, fixed by the plan). Its table rows are one Parquet file. Row i of the unit is row
u*U + i of every dense array [rows, *row_shape], so that a unit owns exactly one zarr shard.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

# What both TensorStore and plain zarr read back; bfloat16 is missing from the latter.
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """One dense array.

    Attributes:
        row_shape: shape of one row, for example (steps, layers, features).
        dtype: one of `DTYPES`.
        axes: names of the axes of a row, in order.
        attributes: JSON-able notes kept beside the data: units, scale, positions, feature ids.
    """

    row_shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: got {self.dtype!r}, the store holds {', '.join(DTYPES)}; convert before storing")
        if len(self.axes) != len(self.row_shape) or min(self.row_shape, default=1) < 1:
            raise ValueError(
                f"axes: got {self.axes} for rows of shape {self.row_shape}; name every axis, each at least 1 long"
            )

    @property
    def row_bytes(self) -> int:
        """Bytes of one row before compression."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class Layout:
    """The table and the arrays of a sweep.

    Attributes:
        schema: columns of the table. Metadata of the schema and of its fields is kept in the files.
        table: name of the merged table, `<table>.parquet`.
        arrays: dense arrays by name.
        group: name of the zarr group that holds them, `<group>.zarr`.
    """

    schema: pa.Schema
    table: str = "trials"
    arrays: Mapping[str, ArraySpec] = dataclasses.field(default_factory=dict)
    group: str = "activations"

    def describe(self) -> dict[str, Any]:
        """JSON-able description; part of the plan's fingerprint, as it decides the bytes of the files."""
        return {
            "table": self.table,
            "columns": [_describe_field(field) for field in self.schema],
            "metadata": _text(self.schema.metadata),
            "group": self.group,
            "arrays": {name: dataclasses.asdict(spec) for name, spec in self.arrays.items()},
        }

    @property
    def array_row_bytes(self) -> int:
        """Bytes of one row over all arrays, before compression."""
        return sum(spec.row_bytes for spec in self.arrays.values())


@dataclasses.dataclass(frozen=True)
class UnitResult:
    """What one unit computed.

    Attributes:
        rows: the unit's table, or its columns by name.
        arrays: dense arrays by name, [rows of the unit, *row_shape].
    """

    rows: pa.Table | Mapping[str, Any]
    arrays: Mapping[str, Shaped[np.ndarray, "row ..."]] = dataclasses.field(default_factory=dict)


def _describe_field(field: pa.Field) -> dict[str, Any]:
    described = {"name": field.name, "type": str(field.type), "nullable": field.nullable}
    return {**described, "metadata": _text(field.metadata)} if field.metadata else described


def _text(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}
