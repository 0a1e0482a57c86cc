"""An attribution graph as a page's explorer holds it: the file itself, and what the picture needs beside it.

document             the graph file, from which a reader downloads it again with pins, groups and labels
kind, row, position, feature   of each node; rows are layers without gaps, tokens the lowest
x, y, columns        places (`layered_layout`); rows: the name of each
influence            cumulative share of each node, null where there is none
source, target, share          of each edge: numbers of nodes, cumulative share of influence
proposals            groups of features that could be one
features             by "layer:feature": label, tokens promoted and suppressed, contexts
measured             interventions on features of the graph: node numbers, what was done, predicted, measured
sharedIds            how many nodes have an id that an earlier one has
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from causeway.engine.analyses.report.edge_shares import edge_shares
from causeway.engine.analyses.report.layered_layout import layered_layout
from causeway.engine.analyses.report.supernodes import propose_supernodes
from causeway.ports.graphs.graph_json import GraphDocument
from causeway.ports.pages.section import GraphView

CAPTION = (
    "Layers upwards, the prompt's tokens to the right. Squares are tokens, circles features, diamonds what the "
    "features leave unexplained (errors), triangles answers. Edges: the effect of a node on another along direct "
    "paths, blue where it raises, orange where it lowers it, in nats of an answer's logit or units of a feature's "
    "value. Click a node for its edges, drag to move, turn the wheel with Ctrl to come nearer; arrow keys step "
    "from node to node, P pins."
)
MOST_PROPOSALS = 20


def graph_view(
    name: str,
    title: str,
    graph: GraphDocument,
    features: Mapping[str, Mapping[str, Any]] | None = None,
    measured: Sequence[Mapping[str, Any]] = (),
    caption: str = CAPTION,
) -> GraphView:
    """The block of a graph.

    Args:
        name: of the block. graph: read from a file. features: by "layer:feature". measured: interventions.
        caption: how it is read.
    """
    row, rows = _rows(graph)
    order = np.argsort(np.nan_to_num(graph.influence, nan=2.0), kind="stable")
    layout = layered_layout(row[order], graph.position[order], len(graph.tokens))
    x, y = np.empty(len(row)), np.empty(len(row))
    x[order], y[order] = layout.x, layout.y
    shares = edge_shares(graph.source, graph.target, graph.weight, graph.layer, graph.probability)
    return GraphView(name, title, caption, {
        "document": graph.document,
        "kind": graph.kinds, "row": row.tolist(), "position": graph.position.tolist(), "feature": graph.features,
        "x": np.round(x, 5).tolist(), "y": np.round(y, 4).tolist(), "columns": np.round(layout.edges, 5).tolist(),
        "rows": rows,
        "influence": [None if np.isnan(value) else round(float(value), 5) for value in graph.influence],
        "source": graph.source.tolist(), "target": graph.target.tolist(), "share": np.round(shares, 5).tolist(),
        "proposals": _proposals(graph, order), "features": dict(features or {}), "measured": list(measured),
        "sharedIds": graph.shared_ids,
    })  # fmt: skip


def _rows(graph: GraphDocument) -> tuple[np.ndarray, list[str]]:
    """The row of each node, and the rows' names: layers that have nodes."""
    above = np.array([kind == "logit" for kind in graph.kinds], int)
    row = 2 * graph.layer + above
    found, places = np.unique(row, return_inverse=True)
    names = {}
    for kind, layer, place in zip(graph.kinds, graph.layer.tolist(), places.tolist(), strict=True):
        names[place] = {"token": "tokens", "logit": "answers"}.get(kind, f"layer {layer}")
    return places, [names[place] for place in range(len(found))]


def _proposals(graph: GraphDocument, order: np.ndarray) -> list[list[int]]:
    n = len(graph.kinds)
    weights = csr_array((graph.weight, (graph.target, graph.source)), (n, n))
    candidates = np.array([i for i in order.tolist() if graph.kinds[i] == "feature"], int)
    return propose_supernodes(weights, candidates, graph.layer, graph.position)[:MOST_PROPOSALS]
