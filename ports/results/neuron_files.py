"""Tables of neurons: a row each, with its `layer`, its `neuron`, and whatever is known of it.

neurons.parquet    what `rank`, `second_order` and `components` write, the strongest first
*.jsonl            {"layer": 9, "neuron": 5} a line
9:5,9:17           in place of a file, layer:neuron between commas
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine import scalars
from causeway.engine.neurons import Neurons
from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.parquet_files import read_parquet

FILE = "neurons.parquet"
_LISTED = re.compile(r"\s*\d{1,9}:\d{1,9}\s*(,\s*\d{1,9}:\d{1,9}\s*)*")


def read_neurons(source: Path | str) -> Neurons:
    """Neurons from a table, a folder that has one, or a list such as 9:5,9:17.

    Raises:
        FileNotFoundError: no such file.
        ValueError: none of these, a row that names no neuron, or one twice.
    """
    if _LISTED.fullmatch(str(source)):
        pairs = [entry.split(":") for entry in str(source).split(",")]
        return Neurons(*np.array(pairs, np.int64).T)
    path = Path(source)
    path = path / FILE if path.is_dir() else path
    if path.suffix.lower() == ".jsonl":
        return Neurons(*np.array(read_lines(path, _pair).items, np.int64).reshape(-1, 2).T)
    table = read_parquet(path, missing="give a table of neurons, or a list such as 9:5,9:17")
    if missing := {"layer", "neuron"} - set(table.column_names):
        raise ValueError(f"{path}: lacks the columns {sorted(missing)}; needs layer and neuron")
    return Neurons(*(scalars.integers(table[name].to_numpy(), f"{path}: {name}") for name in ("layer", "neuron")))


def _pair(record: dict[str, Any]) -> tuple[int, int]:
    if absent := [name for name in ("layer", "neuron") if name not in record]:
        raise ValueError(f"has no field {', '.join(absent)}; it has {', '.join(sorted(record)) or 'none'}")
    return scalars.integer(record["layer"], "layer"), scalars.integer(record["neuron"], "neuron")
