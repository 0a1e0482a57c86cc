"""A small graph of two layers and three tokens, by hand."""

import numpy as np
from scipy.sparse import csr_array

from causeway.engine.analyses.attribute.graph import AttributionGraph, Logit
from causeway.ports.graphs.graph_nodes import GraphNames

NAMES = GraphNames(
    "sums-1", "tiny", 'a "b" c', ("a", ' "b"', " c"), vocab_size=50, transcoders=("here",), settings={"max_n_logits": 2}
)


def make_graph(dtype=np.float32) -> AttributionGraph:
    """Features at (0, 1, 7), (0, 2, 3), (1, 2, 0); columns: 3 features, 6 errors, 3 tokens; 2 targets."""
    rows = np.zeros((5, 12))
    rows[0, [9, 10]] = 0.5, -2.0
    rows[1, [11]] = 1e-3
    rows[2, [0, 1, 4, 10]] = 1.5, -0.25, 0.125, 0.5
    rows[3, [0, 2, 8, 11]] = 1.0, -3.0, 0.5, 0.25
    rows[4, [2, 6]] = 1.0, 0.125
    return AttributionGraph(
        tokens=(4, 9, 2),
        num_layers=2,
        features=np.array([[0, 1, 7], [0, 2, 3], [1, 2, 0]]),
        activations=np.array([1.5, 0.25, 3.0], dtype),
        logits=(Logit("d", 30, 0.75), Logit("d - e", -1, 0.25)),
        edges=csr_array(rows.astype(dtype)),
        totals=np.abs(rows).sum(axis=1) + np.array([0, 0, 0.5, 0, 0]),
        active=5,
    )
