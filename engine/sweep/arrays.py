"""Dense arrays of a sweep: zarr v3 through TensorStore, one shard per unit, readable by plain zarr.

An array is [array_rows, *row_shape]; its shard (outer chunk) is [U, *row_shape], so unit u writes exactly the file
`c/u/0/...`, once and whole. Inside a shard, inner chunks of about a mebibyte let a reader fetch few rows. Chunks are
zstd-compressed and carry a crc32c, as does the shard's index: without it zarr checks nothing. The metadata files are
written here and not by TensorStore: their bytes are a function of the plan alone, so what is there can be compared.

TensorStore's `file` store writes under a lock name, fsyncs and renames, so a shard too is whole or absent. Chunks equal
to the fill value are stored all the same: a unit of zeros must leave a file, or it could not be told from a lost one.

Cost: TensorStore holds the compressed shard in memory, besides the unit's own array.
"""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from jaxtyping import Shaped

from causeway.engine.sweep import durable
from causeway.engine.sweep.layout import ArraySpec
from causeway.engine.sweep.plan import Plan

METADATA_FILE = "zarr.json"
_INNER_CHUNK_BYTES = 2**20
_BYTES_CODEC = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC = {"name": "crc32c"}


def metadata(group: Path, plan: Plan) -> dict[Path, bytes]:
    """Every metadata file of the plan's arrays and of the group that holds them, as it has to be.

    They name the plan that the workdir began with: its later versions have the same arrays, and rewrite nothing.
    """
    attributes = {"sweep": plan.name, "fingerprint": plan.first_fingerprint}
    documents = {group: {"zarr_format": 3, "node_type": "group", "attributes": attributes}}
    for name, spec in plan.layout.arrays.items():
        documents[group / name] = _metadata(plan, spec)
    return {folder / METADATA_FILE: json.dumps(document, indent=1).encode() for folder, document in documents.items()}


def create(group: Path, plan: Plan) -> None:
    """Makes the folders and metadata of the plan's arrays, where they are not there as they should be."""
    for path, data in metadata(group, plan).items():
        durable.make_folder(path.parent)
        if not path.is_file() or path.read_bytes() != data:
            durable.write_bytes(path, data)


def open_array(folder: Path, plan: Plan, spec: ArraySpec, *, write: bool = False) -> ts.TensorStore:
    """Opens an array that was made.

    Raises:
        ValueError: its metadata are not those of the plan, which, as the plan is checked before, means damage.
    """
    store = {"driver": "file", "path": str(folder)}
    document = {"driver": "zarr3", "kvstore": store, "store_data_equal_to_fill_value": True}
    try:
        if (folder / METADATA_FILE).read_bytes() != metadata(folder.parent, plan)[folder / METADATA_FILE]:
            raise ValueError("not as the plan says")
        return ts.open(document, open=True, create=False, read=True, write=write).result()
    except (OSError, ValueError) as error:
        if durable.is_disk_full(error):
            raise
        raise ValueError(
            f"{folder / METADATA_FILE}: missing, or not as the plan says; rerun with --repair to write it again"
        ) from error


def shard_path(folder: Path, unit: int, spec: ArraySpec) -> Path:
    """The one file that holds a unit's rows."""
    return folder.joinpath("c", str(unit), *("0" for _ in spec.row_shape))


def check_rows(name: str, array: Shaped[np.ndarray, "row ..."], spec: ArraySpec, count: int) -> None:
    """Raises ValueError unless `array` is [count, *row_shape] of the declared dtype."""
    expected = (count, *spec.row_shape)
    if array.shape != expected or array.dtype.name != spec.dtype:
        got = f"{array.dtype.name}{list(array.shape)}"
        raise ValueError(f"arrays: {name} is {got}, the plan says {spec.dtype}{list(expected)}; return that")


def write_shard(
    array: ts.TensorStore, folder: Path, unit: int, rows: Shaped[np.ndarray, "row ..."], plan: Plan, spec: ArraySpec
) -> Path:
    """Writes a unit's rows durably; returns the shard's path.

    Whatever an interrupted or damaged attempt left is removed first, so that TensorStore never merges into it.
    """
    path = shard_path(folder, unit, spec)
    durable.remove(path)
    first = unit * plan.rows_per_unit
    array[first : first + len(rows)].write(rows).result()
    durable.sync_folders(path, folder)
    return path


def remove_shard(folder: Path, unit: int, spec: ArraySpec) -> None:
    """Removes a unit's shard with the folders that only it used, as far as that is possible."""
    with contextlib.suppress(OSError):
        shutil.rmtree(folder / "c" / str(unit)) if spec.row_shape else durable.remove(shard_path(folder, unit, spec))


def _metadata(plan: Plan, spec: ArraySpec) -> dict[str, Any]:
    """An array's metadata, as zarr 3 has them."""
    sharding = {
        "chunk_shape": [_inner_rows(plan.rows_per_unit, spec), *spec.row_shape],
        "codecs": [_BYTES_CODEC, {"name": "zstd", "configuration": {"level": 3}}, _CRC],
        "index_codecs": [_BYTES_CODEC, _CRC],
        "index_location": "end",
    }
    chunk_shape = [plan.rows_per_unit, *spec.row_shape]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [plan.array_rows, *spec.row_shape],
        "data_type": spec.dtype,
        "fill_value": False if spec.dtype == "bool" else 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["row", *spec.axes],
        "attributes": dict(spec.attributes),
    }


def _inner_rows(rows_per_unit: int, spec: ArraySpec) -> int:
    """The largest divisor of U whose inner chunk is at most a mebibyte; at least one row."""
    limit = max(1, _INNER_CHUNK_BYTES // spec.row_bytes)
    return max(rows for rows in range(1, rows_per_unit + 1) if rows_per_unit % rows == 0 and rows <= limit)
