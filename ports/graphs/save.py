"""`cw.save_graph`: an attribution graph as a file that other programs open.

neuronpedia   FOLDER/SLUG.json, what Neuronpedia's and circuit-tracer's viewers read
graphml       FOLDER/SLUG.graphml, for Gephi, Cytoscape and networkx
parquet       FOLDER/SLUG/nodes.parquet and edges.parquet, for pandas and polars
"""

from pathlib import Path
from typing import Literal, get_args

from causeway.engine import scalars
from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
from causeway.engine.model.handle import Model, check_model
from causeway.ports.graphs.graph_nodes import GraphNames, check_names, names_of
from causeway.ports.graphs.graph_parquet import write_graph_tables
from causeway.ports.graphs.graphml import write_graphml
from causeway.ports.graphs.neuronpedia import write_neuronpedia

Format = Literal["neuronpedia", "graphml", "parquet"]


def save_graph(
    graph: AttributionGraph | PrunedGraph,
    folder: str | Path,
    model: Model,
    *,
    format: Format = "neuronpedia",
    slug: str = "graph",
    scan: str = "",
) -> Path:
    """Write a graph; a whole one is pruned at the usual thresholds first (`graph.prune`).

    Args:
        graph: what `attribute` returns, or a part of it.
        folder: made where it is not there; an earlier graph of the same slug is replaced.
        model: the graph's.
        format: neuronpedia, graphml or parquet.
        slug: name of the graph and of its file.
        scan: what viewers find the features by (default: the model's name).

    Returns:
        The file written; of parquet the folder of its two tables.

    Raises:
        ValueError: no graph, an unknown format, a slug that is no file name, or another model's graph.
    """
    if not isinstance(graph, AttributionGraph | PrunedGraph):
        raise ValueError(f"graph: got {scalars.shown(graph)}; needs what cw.attribute returns")
    if format not in get_args(Format):
        raise ValueError(f"format: got {scalars.shown(format)}; needs one of {', '.join(get_args(Format))}")
    if not isinstance(folder, str | Path):
        raise ValueError(f"folder: got {scalars.shown(folder)}; needs the name of a folder")
    check_model(model)
    pruned = graph.prune() if isinstance(graph, AttributionGraph) else graph
    return write_graph(Path(folder), pruned, names_of(pruned.graph, model, slug, scan), format)


def write_graph(folder: Path, pruned: PrunedGraph, names: GraphNames, format: Format) -> Path:
    """Write one format's file.

    Raises:
        ValueError: names that do not belong to the graph.
    """
    if format == "parquet":
        check_names(pruned, names)
        return write_graph_tables(folder / names.slug, pruned)[0].parent
    return (write_neuronpedia if format == "neuronpedia" else write_graphml)(folder, pruned, names)
