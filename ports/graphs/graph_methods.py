"""Graphs that write themselves: what `causeway` attaches to the engine's graphs, which know no file formats.

    graph.prune().to_neuronpedia("graphs", model)          graph.to_graphml("graphs", model, slug="addition")

A whole graph is pruned at the usual thresholds first.
"""

from pathlib import Path

from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
from causeway.engine.model.handle import Model
from causeway.ports.graphs.graph_nodes import names_of
from causeway.ports.graphs.graphml import write_graphml
from causeway.ports.graphs.neuronpedia import write_neuronpedia


def to_neuronpedia(
    self: AttributionGraph | PrunedGraph, folder: str | Path, model: Model, slug: str = "graph", scan: str = ""
) -> Path:
    """Write the graph as Neuronpedia's and circuit-tracer's JSON; see `ports.neuronpedia`.

    Args:
        folder: made where it is not there. model: the graph's. slug: name of the graph and its file.
        scan: what viewers find the features by (default: the model's name).
    """
    pruned = _pruned(self)
    return write_neuronpedia(Path(folder), pruned, names_of(pruned.graph, model, slug, scan))


def to_graphml(self: AttributionGraph | PrunedGraph, folder: str | Path, model: Model, slug: str = "graph") -> Path:
    """Write the graph as GraphML; arguments as `to_neuronpedia`."""
    pruned = _pruned(self)
    return write_graphml(Path(folder), pruned, names_of(pruned.graph, model, slug))


def _pruned(graph: AttributionGraph | PrunedGraph) -> PrunedGraph:
    return graph.prune() if isinstance(graph, AttributionGraph) else graph


def attach() -> None:
    """Give both kinds of graphs these methods."""
    for kind in (AttributionGraph, PrunedGraph):
        for method in (to_neuronpedia, to_graphml):
            setattr(kind, method.__name__, method)
