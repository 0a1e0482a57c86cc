"""Parquet tables that come from outside, read whole within limits.

What a file claims of its rows is looked at before they are read: a column of one value takes a few bytes whatever its
length, so a small file may stand for more rows than fit into memory.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine.sweep.checksums import check
from causeway.ports.files.foreign import check_file, parsing

# A row for each of 131,072 features of 128 layers.
MOST_ROWS = 1 << 24


def read_parquet(path: Path | str, missing: str = "") -> pa.Table:
    """A table of flat columns.

    Args:
        path: the file.
        missing: what to do where it is not there.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not the file that a command of ours wrote there, not Parquet, damaged, of too many rows, or with
            columns of other things than numbers and texts.
    """
    path = Path(path)
    check_file(path, missing=missing)
    check(path)
    with parsing(path, "Parquet file", "make it again"):
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            if not 0 <= rows <= MOST_ROWS:
                raise ValueError(f"says that it has {rows} rows; up to {MOST_ROWS} are read")
            if other := [field for field in file.schema_arrow if not _is_plain(field.type)]:
                raise ValueError(f"column {other[0].name} holds {other[0].type}; needs numbers or texts")
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                raise ValueError(f"two columns have one name among {', '.join(names)}")
            table = file.read()
        table.validate(full=True)
    return table


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column holds numbers, truth values, texts or nothing, one a row."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (
        pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string,
        pa.types.is_null,
    )  # fmt: skip
    return any(test(kind) for test in tests)
