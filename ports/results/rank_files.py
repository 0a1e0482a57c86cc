"""Rankings on disk: a folder with tables of layers and neurons.

neurons.parquet        those kept of the critical layers, the strongest first: an input of --neurons
all_neurons.parquet    every neuron of the layers ranked
layers.parquet         a row a layer, stream, mode, scope and paths
rank.json              the critical layers, the rule, counts: written last, the folder is whole
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.results.neuron_files import FILE as NEURONS

ALL_NEURONS, LAYERS, ABOUT = "all_neurons.parquet", "layers.parquet", "rank.json"
FILES = (NEURONS, ALL_NEURONS, LAYERS, ABOUT)


def remove_ranking(folder: Path) -> None:
    """Removes an earlier ranking, its description first: files of two runs never stand side by side."""
    for name in reversed(FILES):
        durable.remove(folder / name)


def write_ranking(
    folder: Path, neurons: pa.Table, all_neurons: pa.Table, layers: pa.Table, about: Mapping[str, Any]
) -> None:
    """Write all files into a folder that is there."""
    for name, table in ((NEURONS, neurons), (ALL_NEURONS, all_neurons), (LAYERS, layers)):
        write_table(folder / name, table)
    content = scalars.without_nan(dict(about))
    durable.write_bytes(folder / ABOUT, (json.dumps(content, indent=1) + "\n").encode())
