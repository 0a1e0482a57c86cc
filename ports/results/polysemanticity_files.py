"""Scores of polysemanticity on disk.

polysemanticity.parquet   a row a neuron, by the mean of its ranks, most polysemantic first: an input of --neurons
polysemanticity.json      counts and medians: written last, the folder is whole
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.files.json_text import write_json

TABLE, ABOUT = "polysemanticity.parquet", "polysemanticity.json"
FILES = (TABLE, ABOUT)


def write_polysemanticity(folder: Path, table: pa.Table, about: Mapping[str, Any]) -> None:
    """Write both into a folder that is there, the description of an earlier run removed first."""
    durable.remove(folder / ABOUT)
    write_table(folder / TABLE, table)
    write_json(folder / ABOUT, dict(about))
