"""A screen's table, whoever made it: which features differ between two groups, by how much, and their means.

    .parquet, .jsonl    the table of `screen`, or features with values (`ports.prompts.sweep_inputs`)
    .npz                the study's: layer_25_indices, layer_25_cohen_d, layer_25_p_values, layer_25_safe_mean,
                        layer_25_bankrupt_mean, ..., an array a layer and quantity
    .json               the study's: {"layer_results": {"25": {"significant_features": [{feature_idx, cohen_d, p_value,
                        safe_mean, bankrupt_mean, ...}]}}}

The study's two groups are called safe and risky here (its bankrupt games), and what it set a feature to is the mean of
a group, zeros included: value_safe, value_risky.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.ports.files.foreign import interpreting
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.npz_files import open_npz
from causeway.ports.files.text_files import read_text
from causeway.ports.prompts.sweep_inputs import read_feature_table

# Column here -> the study's name in a record, and in the archive where it is another.
NUMBERS = {"cohen_d": "cohen_d", "p": "p_value", "q": "corrected_p_value", "value_safe": "safe_mean",
           "value_risky": "bankrupt_mean"}  # fmt: skip
_ARCHIVED = {"p_value": "p_values"}
_INDICES = re.compile(r"layer_(\d{1,9})_indices")


def read_screen(path: Path | str) -> pa.Table:
    """A screen's table: layer, feature and what else it has.

    Args:
        path: one of the files above.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, with the entry or array that is wrong, or no feature in it.
    """
    path = Path(path)
    if path.suffix == ".npz":
        found = _archived(path)
    elif path.suffix == ".json":
        found = _listed(path)
    else:
        return read_feature_table(str(path))
    if not found.num_rows:
        raise ValueError(f"{path}: has no feature; needs the study's screen")
    return found


def _archived(path: Path) -> pa.Table:
    files = open_npz(path)
    layers = sorted(int(match[1]) for name in files if (match := _INDICES.fullmatch(name)))
    if not layers:
        raise ValueError(f"{path}: has no array layer_N_indices; it has {', '.join(sorted(files)[:4])}, ...")
    parts = []
    for layer in layers:
        arrays = {"feature": np.asarray(files[f"layer_{layer}_indices"].read())}
        for column, field in NUMBERS.items():
            name = f"layer_{layer}_{_ARCHIVED.get(field, field)}"
            if name in files:
                arrays[column] = np.asarray(files[name].read(), np.float64)
        if any(array.shape != (len(arrays["feature"]),) for array in arrays.values()):
            raise ValueError(f"{path}: arrays layer_{layer}_* differ in length; needs one entry a feature in each")
        ids = scalars.integers(arrays.pop("feature"), f"{path}: layer_{layer}_indices")
        columns = {name: pa.array(values, from_pandas=True) for name, values in arrays.items()}
        parts.append(pa.table({"layer": pa.array([layer] * len(ids), pa.int32()), "feature": ids, **columns}))
    return pa.concat_tables(parts, promote_options="default")


def _listed(path: Path) -> pa.Table:
    content = parse_json(read_text(path), str(path))
    layers = content.get("layer_results") if isinstance(content, dict) else None
    if not isinstance(layers, dict):
        raise ValueError(f"{path}: has no object `layer_results`; needs the study's significant features by layer")
    rows = []
    for layer, result in layers.items():
        with interpreting(f"{path} layer {layer}", "layer of the study's screen", "needs significant_features"):
            listed = list(result["significant_features"])
        for number, entry in enumerate(listed, start=1):
            try:
                rows.append(_row(layer, entry))
            except ValueError as error:
                raise ValueError(f"{path} layer {layer} entry {number}: {error}") from None
    present = {column for row in rows for column, value in row.items() if value is not None}
    kinds = [("layer", pa.int32()), ("feature", pa.int32()), *((name, pa.float64()) for name in NUMBERS)]
    return pa.Table.from_pylist(rows, pa.schema([(name, kind) for name, kind in kinds if name in present]))


def _row(layer: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise ValueError(f"got {scalars.shown(entry)}; needs an object with feature_idx")
    if not layer.isdecimal():
        raise ValueError(f"layer: got {scalars.shown(layer)}; needs a number")
    row: dict[str, Any] = {"layer": int(layer), "feature": scalars.integer(entry.get("feature_idx"), "feature_idx")}
    for column, field in NUMBERS.items():
        value = entry.get(field)
        row[column] = None if value is None or value != value else scalars.real(value, field)
    return row
