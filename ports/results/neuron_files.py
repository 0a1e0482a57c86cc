"""Tables of neurons: a row each, with its `layer`, its `neuron`, and whatever is known of it.

neurons.parquet    what `rank`, `second_order` and `components` write, the strongest first
*.jsonl            {"layer": 9, "neuron": 5} a line
9:5,9:17           in place of a file, layer:neuron between commas
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.neurons import Neurons
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.jsonl import read_lines
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.files.text_files import CONFIG_BYTES, read_text

FILE, ABOUT = "neurons.parquet", "second_order.json"
_LISTED = re.compile(r"\s*\d{1,9}:\d{1,9}\s*(,\s*\d{1,9}:\d{1,9}\s*)*")


def read_neurons(source: Path | str) -> Neurons:
    """Neurons from a table, a folder that has one, or a list such as 9:5,9:17.

    Raises:
        FileNotFoundError: no such file.
        ValueError: none of these, or a row that names no neuron.
    """
    if _LISTED.fullmatch(str(source)):
        pairs = [entry.split(":") for entry in str(source).split(",")]
        return Neurons(*np.array(pairs, np.int64).T)
    path, (layer, neuron) = _columns(source, ("layer", "neuron"))
    numbers = (
        scalars.integers(entries, f"{path}: {name}").tolist()
        for name, entries in (("layer", layer), ("neuron", neuron))
    )
    # A table may have a row for each direction that a neuron is scored on: the first counts.
    return Neurons(*np.array(list(dict.fromkeys(zip(*numbers, strict=True))), np.int64).reshape(-1, 2).T)


def read_values(source: Path | str, column: str, neurons: Neurons) -> Float[np.ndarray, " M"]:
    """What a table says of some of its neurons in a column of numbers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a list in place of a table, no such column, or an entry that is no finite number.
    """
    if _LISTED.fullmatch(str(source)):
        raise ValueError(f"{source}: a list, which has no column {column!r}; needs a table of neurons")
    path, (layer, neuron, values) = _columns(source, ("layer", "neuron", column))
    rows = zip(reversed(layer), reversed(neuron), reversed(values), strict=True)
    found = {(at, number): value for at, number, value in rows}  # of a neuron's rows the first
    pairs = zip(neurons.layer.tolist(), neurons.neuron.tolist(), strict=True)
    return np.array([scalars.real(found[pair], f"{path}: {column} of {pair[0]}:{pair[1]}") for pair in pairs])


def read_scores(source: Path | str, direction: str) -> tuple[dict[tuple[int, int], float], str]:
    """Mean second-order scores of neurons on one direction, by (layer, neuron), in the order of the table; and the
    fingerprint of the model's weights, "" where nothing beside the table tells it.

    Args:
        source: what `second_order` wrote. direction: its name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a list in place of a table, one without scores, another direction, or a score that is no number.
    """
    if _LISTED.fullmatch(str(source)):
        raise ValueError(f"{source}: a list, which has no scores; needs the table that `second_order` wrote")
    path, columns = _columns(source, ("layer", "neuron", "direction", "effect"))
    there = list(dict.fromkeys(map(str, columns[2])))
    if direction not in there:
        raise ValueError(
            f"{path}: has no scores on {direction!r}, but on {', '.join(there)}; score on the same direction"
        )
    scores = {
        (scalars.integer(layer, f"{path}: layer"), scalars.integer(neuron, f"{path}: neuron")):
            scalars.real(effect, f"{path}: effect of {layer}:{neuron}")
        for layer, neuron, own, effect in zip(*columns, strict=True) if str(own) == direction
    }  # fmt: skip
    about = path.with_name(ABOUT)
    content = parse_json(read_text(about, CONFIG_BYTES), str(about)) if about.is_file() else {}
    return scores, str(content.get("model_fingerprint", "")) if isinstance(content, dict) else ""


def _columns(source: Path | str, names: Sequence[str]) -> tuple[Path, list[list[Any]]]:
    """The file of a table and some of its columns."""
    path = Path(source)
    path = path / FILE if path.is_dir() else path
    if path.suffix.lower() == ".jsonl":
        rows = read_lines(path, lambda record: _fields(record, names)).items
        return path, [list(column) for column in zip(*rows, strict=True)]
    table = read_parquet(path, missing="give a table of neurons, or a list such as 9:5,9:17")
    if missing := set(names) - set(table.column_names):
        raise ValueError(f"{path}: lacks the columns {sorted(missing)}; needs {' and '.join(names)}")
    return path, [table[name].to_pylist() for name in names]


def _fields(record: dict[str, Any], names: Sequence[str]) -> list[Any]:
    if absent := [name for name in names if name not in record]:
        raise ValueError(f"has no field {', '.join(absent)}; it has {', '.join(sorted(record)) or 'none'}")
    return [scalars.integer(record[name], name) if name in ("layer", "neuron") else record[name] for name in names]
