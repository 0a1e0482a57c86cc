"""A whole attribution graph as two Parquet tables.

    nodes.parquet   node, kind, layer, position, feature, activation, total, token, probability, label, kept
    edges.parquet   target, source, weight, kept

Nodes are numbered in the graph's order: features, errors (layer-major), tokens, logits; `target` and `source` are
these numbers. `total` is the sum of |weights| over a row's sources, those of features left out of the graph included.
`kept` tells what pruning kept, and is null for a graph that was not pruned. Edges are written a block of rows
at a time: memory holds one copy of the stored edges, never a square.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
from causeway.engine.sweep.checksums import recorded
from causeway.engine.sweep.durable import remove, replacing

NODES, EDGES = "nodes.parquet", "edges.parquet"
KINDS = ("feature", "error", "token", "logit")
EDGES_PER_BLOCK = 1 << 20
_HEAD = b"causeway.graph"
_NODES = pa.schema([
    ("node", pa.int32()), ("kind", pa.dictionary(pa.int8(), pa.string())), ("layer", pa.int32()),
    ("position", pa.int32()), ("feature", pa.int32()), ("activation", pa.float64()), ("total", pa.float64()),
    ("token", pa.int32()), ("probability", pa.float64()), ("label", pa.string()), ("kept", pa.bool_()),
])  # fmt: skip


def write_graph_tables(folder: Path, graph: AttributionGraph | PrunedGraph) -> tuple[Path, Path]:
    """Write both tables; nodes last, so that a folder with nodes is whole.

    Args:
        folder: made where it is not there. graph: whole, or pruned to mark what is kept; all edges are written.

    Returns:
        The two files.
    """
    whole, pruned = (graph.graph, graph) if isinstance(graph, PrunedGraph) else (graph, None)
    schema = pa.schema([
        ("target", pa.int32()), ("source", pa.int32()), ("weight", pa.from_numpy_dtype(whole.edges.dtype)),
        ("kept", pa.bool_()),
    ])  # fmt: skip
    with recorded(folder, (NODES, EDGES)):
        remove(folder / NODES)
        with (
            replacing(folder / EDGES) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for block in _edge_blocks(whole, pruned, schema):
                writer.write_table(block)
        with replacing(folder / NODES) as temporary:
            pq.write_table(_node_table(whole, pruned), temporary, compression="zstd")
    return folder / NODES, folder / EDGES


def _edge_blocks(graph: AttributionGraph, pruned: PrunedGraph | None, schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows in order, about a million edges at a time."""
    edges, n, m = graph.edges, len(graph.features), graph.edges.shape[1]
    start = 0
    while start < edges.shape[0]:
        stop = max(start + 1, int(np.searchsorted(edges.indptr, edges.indptr[start] + EDGES_PER_BLOCK, "right")) - 1)
        first, last = edges.indptr[start], edges.indptr[stop]
        rows = np.arange(start, stop)
        target = np.repeat(np.where(rows < n, rows, rows - n + m), np.diff(edges.indptr[start : stop + 1]))
        kept = pa.nulls(last - first, pa.bool_()) if pruned is None else pa.array(pruned.kept.edges[first:last])
        columns = [
            pa.array(target.astype(np.int32)), pa.array(edges.indices[first:last].astype(np.int32)),
            pa.array(edges.data[first:last]), kept,
        ]  # fmt: skip
        yield pa.Table.from_arrays(columns, schema=schema)
        start = stop


def _node_table(graph: AttributionGraph, pruned: PrunedGraph | None) -> pa.Table:
    n, length, layers, k = len(graph.features), len(graph.tokens), graph.num_layers, len(graph.logits)
    counts = (n, layers * length, length, k)
    error_layer, error_position = np.divmod(np.arange(layers * length), length)
    blank = [np.full(count, -1) for count in counts]
    nothing = [np.full(count, np.nan) for count in counts]
    kept = pa.nulls(sum(counts), pa.bool_())
    if pruned is not None:
        kept = pa.array(np.concatenate([pruned.kept.columns, np.ones(k, bool)]))
    columns = [
        np.arange(sum(counts), dtype=np.int32),
        pa.DictionaryArray.from_arrays(np.repeat(np.arange(4, dtype=np.int8), counts), list(KINDS)),
        _joined(graph.features[:, 0], error_layer, blank[2], np.full(k, layers)),
        _joined(graph.features[:, 1], error_position, np.arange(length), np.full(k, length - 1)),
        _joined(graph.features[:, 2], *blank[1:]),
        _numbers(graph.activations, *nothing[1:]),
        _numbers(graph.totals[:n], nothing[1], nothing[2], graph.totals[n:]),
        _joined(blank[0], blank[1], graph.tokens, [logit.token for logit in graph.logits]),
        _numbers(*nothing[:3], graph.probabilities),
        pa.array([None] * (sum(counts) - k) + [logit.label for logit in graph.logits], pa.string()),
        kept,
    ]
    head = {"num_layers": layers, "active": graph.active, "activations": graph.activations.dtype.name}
    return pa.Table.from_arrays([pa.array(c) for c in columns], schema=_NODES.with_metadata({_HEAD: json.dumps(head)}))


def _joined(*parts: np.ndarray | list | tuple) -> np.ndarray:
    return np.concatenate([np.asarray(part, np.int32) for part in parts])


def _numbers(*parts: np.ndarray) -> pa.Array:
    """NaN marks what a kind of node does not have."""
    values = np.concatenate([np.asarray(part, np.float64) for part in parts])
    return pa.array(values, from_pandas=True)
