"""A graph as one row of a table, and back: how a run stores what it computed.

Columns are lists: nodes in the graph's order, edges as compressed sparse rows (`count` edges of each row, then their
sources and weights). A prompt of 2,000 tokens is a row of some tens of megabytes; no square is made.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from causeway.engine.analyses.attribute.graph import AttributionGraph, Logit


def graph_schema(dtype: str) -> pa.Schema:
    """Columns of a table of graphs whose numbers are float32 or float64."""
    number, ids = pa.from_numpy_dtype(np.dtype(dtype)), pa.list_(pa.int32())
    return pa.schema([
        ("prompt", pa.int32()), ("id", pa.string()), ("behaviour", pa.string()), ("split", pa.string()),
        ("tokens", ids), ("num_layers", pa.int32()), ("active", pa.int64()),
        ("layer", ids), ("position", ids), ("feature", ids), ("activation", pa.list_(number)),
        ("target_label", pa.list_(pa.string())), ("target_token", ids), ("target_weight", pa.list_(pa.float64())),
        ("total", pa.list_(pa.float64())), ("count", ids),
        ("source", pa.large_list(pa.int32())), ("weight", pa.large_list(number)),
        ("replacement", pa.float64()), ("completeness", pa.float64()),
    ])  # fmt: skip


def graph_row(graph: AttributionGraph) -> dict[str, Any]:
    """The columns of a graph beside the prompt's own."""
    scores = graph.scores()
    return {
        "tokens": list(graph.tokens), "num_layers": graph.num_layers, "active": graph.active,
        "layer": graph.features[:, 0], "position": graph.features[:, 1], "feature": graph.features[:, 2],
        "activation": graph.activations,
        "target_label": [logit.label for logit in graph.logits],
        "target_token": [logit.token for logit in graph.logits],
        "target_weight": [logit.probability for logit in graph.logits],
        "total": graph.totals, "count": np.diff(graph.edges.indptr),
        "source": graph.edges.indices, "weight": graph.edges.data,
        "replacement": scores.replacement, "completeness": scores.completeness,
    }  # fmt: skip


def row_graph(table: pa.Table, index: int) -> AttributionGraph:
    """The graph of one row, to the bit."""

    def values(name: str) -> np.ndarray:
        return table[name][index].values.to_numpy(zero_copy_only=False)

    tokens, totals = values("tokens"), values("total")
    features = np.stack([values(name) for name in ("layer", "position", "feature")], axis=1).astype(np.int64)
    layers = int(table["num_layers"][index].as_py())
    ends = (table[name][index].as_py() for name in ("target_label", "target_token", "target_weight"))
    columns = len(features) + (layers + 1) * len(tokens)
    pointers = np.concatenate([[0], np.cumsum(values("count"))])
    return AttributionGraph(
        tokens=tuple(tokens.tolist()),
        num_layers=layers,
        features=features,
        activations=values("activation"),
        logits=tuple(Logit(*end) for end in zip(*ends, strict=True)),
        edges=csr_array((values("weight"), values("source"), pointers), (len(totals), columns)),
        totals=totals,
        active=int(table["active"][index].as_py()),
    )
