"""Contexts of features on disk: three tables and what they are.

    features.parquet     a row a feature
    contexts.parquet     a row a context, by layer and feature
    histograms.parquet   a row a bin
    summary.json         what was read, and how; written last: with it the tables are whole

What their columns are is said in `engine/analyses/contexts/tables`. Contexts are written as they come, some thousands
of features at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine import scalars
from causeway.engine.analyses.contexts.schemas import CONTEXTS
from causeway.engine.sweep import durable
from causeway.engine.sweep.checksums import check
from causeway.engine.sweep.table import encode, merge
from causeway.ports.files.foreign import check_file, parsing

if TYPE_CHECKING:
    from causeway.engine.analyses.contexts.tables import Tables

FEATURES_FILE, CONTEXTS_FILE, HISTOGRAMS_FILE = "features.parquet", "contexts.parquet", "histograms.parquet"
ABOUT = "summary.json"
NAMES = (FEATURES_FILE, CONTEXTS_FILE, HISTOGRAMS_FILE, ABOUT)
_ADVICE = "give the workdir of a finished `contexts` run"


def write_tables(folder: Path, layers: Iterable[Tables]) -> pa.Table:
    """Write the three tables into a folder that is there.

    Returns:
        The table of features, of all layers.
    """
    features, histograms = [], []

    def contexts() -> Iterator[pa.Table]:
        for tables in layers:
            features.append(tables.features)
            histograms.append(tables.histograms)
            yield from (part for part in tables.contexts if part.num_rows)

    merge(contexts(), folder / CONTEXTS_FILE, CONTEXTS)
    whole = pa.concat_tables(features)
    for name, table in ((FEATURES_FILE, whole), (HISTOGRAMS_FILE, pa.concat_tables(histograms))):
        durable.write_bytes(folder / name, encode(table) if table.num_rows else _empty(table))
    return whole


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write what the tables are, after them."""
    durable.write_bytes(folder / ABOUT, (json.dumps(scalars.without_nan(dict(about)), indent=1) + "\n").encode())


def read_table(folder: Path | str, name: str, features: Iterable[tuple[int, int]] | None = None) -> pa.Table:
    """A table of a finished run.

    Args:
        name: one of `NAMES` that is a table. features: rows of these (layer, feature) alone; only the parts of the file
            that may hold them are read.

    Raises:
        FileNotFoundError: there is none. ValueError: it is damaged.
    """
    return open_table(folder, name)(features)


def open_table(folder: Path | str, name: str) -> Callable[[Iterable[tuple[int, int]] | None], pa.Table]:
    """`read_table` for who reads some features after others: the file is checked once, not each time.

    Raises:
        FileNotFoundError: there is none. ValueError: it is damaged.
    """
    path = Path(folder) / name
    check_file(path, missing=_ADVICE)
    check(path)
    return partial(_rows, path)


def _rows(path: Path, features: Iterable[tuple[int, int]] | None) -> pa.Table:
    with parsing(path, "Parquet file", "run `contexts` again"):
        if features is None:
            return pq.read_table(path)
        wanted = [[("layer", "=", layer), ("feature", "=", feature)] for layer, feature in features]
        return pq.read_table(path, filters=wanted) if wanted else pq.read_table(path).slice(0, 0)


def _empty(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()
