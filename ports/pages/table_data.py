"""Tables as a page holds them: columns of JSON, which charts and CSV are made from, and the bytes of a Parquet file."""

import base64
import io
import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# The largest integer up to which JavaScript, whose numbers are doubles, has all.
LARGEST_EXACT = 2**53
# In a script element only these can end it, or a line of it; and halves of surrogate pairs have no bytes in UTF-8.
_ESCAPES = {sign: f"\\u{sign:04x}" for sign in (*map(ord, "<>&\u2028\u2029"), *range(0xD800, 0xE000))}


def columns(table: pa.Table) -> dict[str, list[Any]]:
    """A table's columns as JSON has them: null for what is not finite, lists as texts, and integers that a double
    cannot hold (above 2^53 in size) as texts too."""
    return {name: [_plain(value) for value in table[name].to_pylist()] for name in table.column_names}


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """A table's rows, the same way."""
    found = columns(table)
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def script_json(value: Any) -> str:
    """JSON that may stand in a script element whatever texts are in it: no `<`, `>`, `&` or line separator."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def parquet_base64(table: pa.Table) -> str:
    """The bytes of a Parquet file, in base64."""
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return base64.b64encode(file.getvalue()).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and abs(value) > LARGEST_EXACT:
        return str(value)
    return (
        value if value is None or isinstance(value, str | int) else json.dumps(value, ensure_ascii=False, default=str)
    )
