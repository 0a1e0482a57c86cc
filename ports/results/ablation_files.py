"""What ablation found, on disk.

ablations.parquet   a row for each place (output, live), substitution and outcome
ablate.json         layers' masses, criteria with verdicts, how live rows go with the output space; written last
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine.sweep import durable
from causeway.engine.sweep.table import encode
from causeway.ports.files.json_text import write_json

TABLE, ABOUT = "ablations.parquet", "ablate.json"
FILES = (TABLE, ABOUT)


def remove_ablations(folder: Path) -> None:
    """Remove what an earlier run has left."""
    for name in reversed(FILES):
        durable.remove(folder / name)


def write_ablations(folder: Path, table: pa.Table, report: Mapping[str, Any]) -> None:
    """Write both files into a folder that is there."""
    durable.write_bytes(folder / TABLE, encode(table))
    write_json(folder / ABOUT, dict(report))
