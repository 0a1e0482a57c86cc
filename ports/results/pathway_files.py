"""Pathways on disk, beside the resumable jobs that they are made from.

pathways.parquet           a row a measured pair
chains.parquet             a row a chain of validated pairs
candidates.parquet         what discovery found on each prompt of its half: a row a source of a target
validated_pathways.json    the validated pairs, source and target by name
pathways.graphml           features and validated pairs, for networkx, Gephi, Cytoscape and their like
pathways.json              counts and calibration: written last, the folder is whole
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.files.json_text import parse_json, write_json
from causeway.ports.files.text_files import read_text
from causeway.ports.graphs.graphml import write_whole

PATHWAYS, CHAINS, CANDIDATES = "pathways.parquet", "chains.parquet", "candidates.parquet"
VALIDATED, GRAPH, ABOUT = "validated_pathways.json", "pathways.graphml", "pathways.json"
FILES = (PATHWAYS, CHAINS, CANDIDATES, VALIDATED, GRAPH, ABOUT)
PROTOTYPE = "single_feature_test.json"
_EDGE = ("effect", "low", "high", "q", "predicted", "gradient")


def write_pathways(
    folder: Path, pathways: pa.Table, chains: pa.Table, candidates: Iterator[pa.Table],
    validated: Sequence[Mapping[str, Any]], about: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write all into a folder that is there, the description of an earlier run removed first.

    Args:
        validated: rows with source and target by name, and the columns of pathways.parquet.
    """
    durable.remove(folder / ABOUT)
    write_table(folder / PATHWAYS, pathways)
    write_table(folder / CHAINS, chains)
    _write_parts(folder / CANDIDATES, candidates)
    write_json(folder / VALIDATED, list(validated))
    write_whole(folder / GRAPH, as_networkx(validated))
    write_json(folder / ABOUT, about)


def as_networkx(validated: Sequence[Mapping[str, Any]]) -> nx.DiGraph:
    """Features as nodes (layer, feature), validated pairs as edges; `weight` is |effect|."""
    graph = nx.DiGraph()
    for row in validated:
        for end in ("source", "target"):
            graph.add_node(row[end], layer=row[f"{end}_layer"], feature=row[f"{end}_feature"])
        values = {name: float(row[name]) for name in _EDGE}
        graph.add_edge(row["source"], row["target"], weight=abs(values["effect"]), **values)
    return graph


def tested_feature(path: Path) -> str | None:
    """The feature that `single_feature_test.json` is of; None where there is none.

    Raises:
        ValueError: the file does not say.
    """
    if not path.exists():
        return None
    found = parse_json(read_text(path), str(path))
    if not isinstance(found, dict) or not isinstance(found.get("feature"), str):
        raise ValueError(f"{path}: names no feature; move it away")
    return str(found["feature"])


def _write_parts(path: Path, tables: Iterator[pa.Table]) -> None:
    """One row group a table; one is in memory at a time."""
    first = next(tables)
    with durable.replacing(path) as temporary, pq.ParquetWriter(temporary, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
