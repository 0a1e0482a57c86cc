"""Scores of polysemanticity on disk.

polysemanticity.parquet   a row a neuron, by the mean of its ranks, most polysemantic first: an input of --neurons
polysemanticity.json      counts and medians: written last, the folder is whole
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table

TABLE, ABOUT = "polysemanticity.parquet", "polysemanticity.json"
FILES = (TABLE, ABOUT)


def write_polysemanticity(folder: Path, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Write both into a folder that is there, the description of an earlier run removed first."""
    durable.remove(folder / ABOUT)
    write_table(folder / TABLE, table)
    text = json.dumps(scalars.without_nan(dict(about)), indent=1, ensure_ascii=False)
    durable.write_bytes(folder / ABOUT, (text + "\n").encode())
